"""Random networks, losses and clips: every engine against the slow reference.

`SIDEWAYS_FUZZ=5000` runs so many cases instead of a few; a case is its seed.
"""

import os
import random

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.engines import ENGINES, make_engine, schedule
from sideways_tf.modules import SidewaysBlock
from tests.engines.networks import assert_episodes_equal, set_weights_by_name
from tests.engines.reference import Reference

L = tf.keras.layers
CASES = int(os.environ.get("SIDEWAYS_FUZZ", "24"))
F = {"dtype": "float64"}


def residual(shape, make):
    """x + f(x)."""
    x = tf.keras.Input(shape, **F)
    return tf.keras.Model(x, L.Add(**F)([x, make()(x)]))


def picture(draw):
    """Modules for frames [B, 4, 4, 2], and whether they are random."""
    return draw.choice([
        lambda: L.Conv2D(2, 3, draw_stride(draw), "same", activation="tanh", **F),
        lambda: L.DepthwiseConv2D(3, padding="same", **F),
        lambda: L.SeparableConv2D(2, 3, padding="same", activation="elu", **F),
        lambda: tf.keras.Sequential([L.Conv2D(2, 1, use_bias=False, **F), norm(), L.ReLU(**F)]),
        lambda: L.LayerNormalization(**F),
        lambda: L.Activation("tanh", **F),
    ])  # fmt: skip


def draw_stride(draw):
    del draw
    return 1


def norm():
    return L.BatchNormalization(momentum=0.75, **F)


def vector(draw):
    """Modules for vectors [B, 3]."""
    return draw.choice([
        lambda: L.Dense(3, activation="tanh", **F),
        lambda: L.Dense(3, use_bias=False, **F),
        lambda: tf.keras.Sequential([L.Dense(3, **F), norm()]),
        lambda: residual([3], lambda: L.Dense(3, activation="tanh", **F)),
        lambda: tf.keras.Sequential([L.Reshape([3, 1], **F), L.SimpleRNN(3, **F)]),
        lambda: tf.keras.Sequential([L.Reshape([3, 1], **F), L.GRU(3, **F)]),
        lambda: L.LayerNormalization(**F),
        lambda: L.Activation("softplus", **F),
    ])  # fmt: skip


LOSSES = {
    "squares": lambda y, h: (y - h) ** 2,
    "huber": tf.keras.losses.Huber(),
    "cosine of the batch": lambda y, h: tf.reduce_sum(y * h, -1) / tf.norm(h),
    "logistic": lambda y, h: tf.nn.sigmoid_cross_entropy_with_logits(tf.sigmoid(y), h),
    "cubes of examples": lambda y, h: tf.reduce_sum(tf.abs(y - h) ** 3, -1),
}


def case(seed):
    """(makers of layers, frame shape without batch, algorithm, K, B, loss)."""
    draw = random.Random(seed)
    depth, pictures = draw.randint(1, 5), draw.random() < 0.4
    if pictures and depth > 1:
        cut = draw.randint(1, min(depth - 1, 2))
        flat = lambda: tf.keras.Sequential([  # noqa: E731
            L.GlobalAveragePooling2D(**F), L.Dense(3, **F)
        ])  # fmt: skip
        makers = [picture(draw) for _ in range(cut)] + [flat]
        makers += [vector(draw) for _ in range(depth - cut - 1)]
        shape = [4, 4, 2]
    else:
        makers, shape = [vector(draw) for _ in range(depth)], [3]
    algorithm = draw.choice(list(ENGINES))
    frames = schedule.cycle_length(depth) + draw.randint(0, 3)
    if algorithm == "bp":
        frames = draw.randint(1, 4)
    return makers, shape, algorithm, frames, draw.randint(3, 4), draw.choice(list(LOSSES))


@pytest.mark.parametrize("seed", range(CASES))
def test_every_engine_is_the_reference(seed):
    makers, shape, algorithm, frames, batch, name = case(seed)
    rng = np.random.default_rng(seed)
    clip = tf.constant(rng.normal(size=[frames, batch, *shape]))
    targets = tf.constant(rng.normal(size=[frames, batch, 3]))
    tf.keras.utils.set_random_seed(seed)
    plain, h = [make() for make in makers], clip[0]
    for layer in plain:
        h = layer(h)
    start = [layer.get_weights() for layer in plain]
    loss = LOSSES[name]
    function = tf.keras.losses.huber if name == "huber" else loss
    reference = Reference(plain, function, clip, targets)
    right = reference.sideways() if algorithm == "sideways" else reference.backprop()
    for layer, weights in zip(plain, start, strict=True):
        layer.set_weights(weights)
    loose = name == "huber"  # Keras computes it in float32.
    for engine in ENGINES[algorithm]:
        modules = [SidewaysBlock(make()) for make in makers]
        run = make_engine(algorithm, modules, loss, engine)
        run.build(tf.TensorSpec(clip.shape[1:], clip.dtype))
        for module, layer in zip(modules, plain, strict=True):
            set_weights_by_name(module, layer)
        found = run(clip, targets, [seed, 1])
        tolerance = (1e-5, 1e-6) if loose else (1e-8, 1e-10)
        assert_episodes_equal(found, right, *tolerance)

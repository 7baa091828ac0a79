"""Random networks, losses and clips: every engine against the slow references.

A network is drawn by its seed: layers, D, K, B, L, type, loss, masks. It is traced once, and tried
with several draws of weights, frames, targets and masks: each of these is a case.
`SIDEWAYS_FUZZ=5000` runs about so many cases instead of those of the suite.
"""

import os
import random

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf import SidewaysModel
from sideways_tf.engines import ENGINES, make_engine, schedule
from sideways_tf.engines.passes import module_seeds
from sideways_tf.modules import SidewaysBlock
from sideways_tf.modules.step import Step
from tests.engines.networks import assert_episodes_equal
from tests.engines.reference import ByProducts
from tests.engines.stepwise_reference import BlockedStream, SidewaysStream

L = tf.keras.layers
DRAWS = 8
NETWORKS = int(os.environ.get("SIDEWAYS_FUZZ", "200")) // DRAWS
FIRST = int(os.environ.get("SIDEWAYS_FUZZ_FIRST", "0"))
RATE = 2.0**-4


def residual(shape, make, kind):
    """x + f(x)."""
    x = tf.keras.Input(shape, **kind)
    return tf.keras.Model(x, L.Add(**kind)([x, make()(x)]))


def norm(kind):
    return L.BatchNormalization(momentum=0.75, **kind)


def sequential(*layers):
    return tf.keras.Sequential(layers)


def pictures(kind):
    """Modules for frames [B, 3, 3, 2]."""
    return [
        lambda: L.Conv2D(2, 3, padding="same", activation="tanh", **kind),
        lambda: L.DepthwiseConv2D(3, padding="same", **kind),
        lambda: L.SeparableConv2D(2, 3, padding="same", activation="elu", **kind),
        lambda: sequential(L.Conv2D(2, 1, use_bias=False, **kind), norm(kind)),
        lambda: residual([3, 3, 2], lambda: L.Conv2D(2, 3, padding="same", **kind), kind),
        lambda: L.LayerNormalization(**kind),
        lambda: sequential(L.Conv2D(2, 1, **kind), L.SpatialDropout2D(0.5, **kind)),
        lambda: L.Activation("tanh", **kind),
    ]


def vectors(kind):
    """Modules for vectors [B, 3]."""
    return [
        lambda: L.Dense(3, activation="tanh", **kind),
        lambda: L.Dense(3, use_bias=False, **kind),
        lambda: sequential(L.Dense(3, **kind), norm(kind)),
        lambda: sequential(L.Dense(3, **kind), L.Dropout(0.5, **kind)),
        lambda: sequential(L.GaussianNoise(0.5, **kind), L.Dense(3, **kind)),
        lambda: residual([3], lambda: L.Dense(3, activation="tanh", **kind), kind),
        lambda: sequential(L.Reshape([3, 1], **kind), L.SimpleRNN(3, **kind)),
        lambda: sequential(L.Reshape([3, 1], **kind), L.GRU(3, **kind)),
        lambda: L.LayerNormalization(**kind),
        lambda: L.Activation("softplus", **kind),
    ]


LOSSES = {
    "squares": lambda y, h: (y - h) ** 2,
    "cosine of the batch": lambda y, h: tf.reduce_sum(y * h, -1) / (1 + tf.norm(h)),
    "logistic": lambda y, h: tf.nn.sigmoid_cross_entropy_with_logits(tf.sigmoid(y), h),
    "cubes of examples": lambda y, h: tf.reduce_sum(tf.abs(y - h) ** 3, -1),
}


class Case:
    """A network by its seed; `every` is 0 where L = K."""

    def __init__(self, seed):
        draw = random.Random(seed)
        self.dtype = draw.choice(["float64", "float64", "float32"])
        kind, depth = {"dtype": self.dtype}, draw.randint(1, 4)
        cut = draw.randint(1, 2) if depth > 1 and draw.random() < 0.3 else 0
        cut = min(cut, depth - 1)
        flat = sequential(L.GlobalAveragePooling2D(**kind), L.Dense(3, **kind))
        self.layers = [draw.choice(pictures(kind))() for _ in range(cut)] + [flat] * (cut > 0)
        self.layers += [draw.choice(vectors(kind))() for _ in range(depth - len(self.layers))]
        self.algorithm = draw.choice(list(ENGINES))
        self.every = draw.choice([0, 0, draw.randint(1, 4)])
        self.frames = schedule.cycle_length(depth) + draw.randint(0, 2)
        if self.algorithm == "bp":
            self.frames = self.frames + 2 if self.every else draw.randint(1, 3)
        self.every = min(self.every, self.frames - 1)
        self.shape = [draw.randint(2, 3) if cut else 3, *([3, 3, 2] if cut else [3])]
        self.loss = LOSSES[draw.choice(list(LOSSES))]
        self.masks = draw.choice(["episode", "step"])
        # Rounding of float32, after as many sums; float64 is far below any wrong frame or mask.
        self.tolerance = (1e-8, 1e-10) if self.dtype == "float64" else (2e-3, 2e-5)

    def build(self):
        self.modules = [SidewaysBlock(layer) for layer in self.layers]
        return self

    def data(self, n):
        """Of draw n: clip, targets, seed; and new weights in the layers."""
        rng = np.random.default_rng([n, self.frames])
        for layer in self.layers:
            for v in layer.trainable_variables:
                v.assign(rng.normal(size=v.shape) * 0.7)
        clip = rng.normal(size=[self.frames, *self.shape])
        targets = rng.normal(size=[self.frames, self.shape[0], 3])
        cast = (tf.constant(x, self.dtype) for x in (clip, targets))
        return *cast, tf.constant([n, 1])

    def run(self, seed):
        """(i, frame, x) -> H_i(x), with the draws of `seed`."""
        seeds = module_seeds(seed, len(self.modules))

        def run(i, frame, x):
            module = self.modules[i - 1]
            memory = dict(zip([v.ref() for v in module.state], module.memory(), strict=True))
            step = Step(1, tf.constant([frame]), seeds[i - 1], memory, masks=self.masks)
            return module.forward(x, step)

        return run


def check_episodes(case):
    """L = K: loss, outputs and pseudo-gradients of every engine."""
    engines = [
        make_engine(case.algorithm, case.modules, case.loss, engine, masks=case.masks)
        for engine in ENGINES[case.algorithm]
    ]
    for engine in engines:
        engine.build(tf.TensorSpec(case.shape, case.dtype))
    for n in range(DRAWS):
        clip, targets, seed = case.data(n)
        reference = ByProducts(case.layers, case.loss, clip, targets)
        reference.run = case.run(seed)
        right = reference.sideways() if case.algorithm == "sideways" else reference.backprop()
        for engine in engines:
            assert_episodes_equal(engine(clip, targets, seed), right, *case.tolerance)


def check_stream(case):
    """L < K: the weights after a clip."""
    kind = {"sideways": SidewaysStream, "bp": BlockedStream}[case.algorithm]
    model = SidewaysModel(
        case.layers, algorithm=case.algorithm, update_every=case.every, dropout_mask=case.masks,
        devices="CPU:0", seed=1,
    )  # fmt: skip
    model.compile(tf.keras.optimizers.legacy.SGD(RATE), case.loss)
    model._build(tf.TensorSpec([case.shape[0], case.frames, *case.shape[1:]], case.dtype))
    case.modules = model.modules
    for n in range(DRAWS):
        clip, targets, _ = case.data(n)
        start = [v.numpy() for layer in case.layers for v in layer.weights]
        right = kind(
            case.layers, case.loss, clip, targets, case.every, RATE,
            case.run(model.episode_seed()),
        )  # fmt: skip
        right.learn()
        wanted = [[v.numpy() for v in layer.trainable_variables] for layer in case.layers]
        values = iter(start)
        for layer in case.layers:
            layer.set_weights([next(values) for _ in layer.weights])
        model.train_on_batch(*(tf.transpose(x, [1, 0, *range(2, x.shape.rank)])
                               for x in (clip, targets)))  # fmt: skip
        for i, (layer, weights) in enumerate(zip(case.layers, wanted, strict=True), 1):
            rtol, atol = case.tolerance
            # Of the module's largest weight: some cubes drive them to 1e17.
            near = atol * max([1.0, *(np.abs(value).max() for value in weights)])
            for variable, value in zip(layer.trainable_variables, weights, strict=True):
                np.testing.assert_allclose(
                    variable, value, rtol, near, err_msg=f"module {i}, {variable.name}"
                )


@pytest.mark.once
@pytest.mark.parametrize("seed", range(FIRST, FIRST + NETWORKS))
def test_every_engine_is_the_reference(seed):
    tf.keras.utils.set_random_seed(seed)
    case = Case(seed).build()
    check_stream(case) if case.every else check_episodes(case)

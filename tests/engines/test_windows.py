"""Episodes of 1 < L < K: against the hand-written reference, by hand, and at L = K."""

import random

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf import SidewaysModel
from sideways_tf.engines import schedule
from tests.engines.networks import squared_error
from tests.engines.test_stream import (
    BATCH,
    CLIP,
    DECAY,
    RATE,
    REFERENCES,
    WIDTH,
    close,
    dense_model,
    optimizer,
    ready,
    stream_of_frames,
    weights_of,
)  # fmt: skip

L = tf.keras.layers


def clips_of(frames):
    """Time-major -> as `fit` takes them."""
    return tf.constant(frames.swapaxes(0, 1))


def train(model, frames, targets):
    model.train_on_batch(clips_of(frames), clips_of(targets))


@pytest.mark.parametrize("algorithm", REFERENCES)
@pytest.mark.parametrize("seed", range(6))
def test_windows_are_those_of_the_hand_written_reference(algorithm, seed):
    draw = random.Random(seed)
    depth = draw.randint(1, 4)
    steps = schedule.cycle_length(depth) + draw.randint(2, 12)
    every = draw.randint(2, steps - 1)
    frames, targets = stream_of_frames(steps, seed=seed + 1)
    right = REFERENCES[algorithm](
        weights_of(depth), frames, targets, RATE, DECAY, CLIP, every
    ).run()
    model = dense_model(algorithm, depth, every=every, steps=steps)
    train(model, frames, targets)
    where = f"D={depth}, K={steps}, L={every}"
    for i, module in enumerate(model.modules, 1):
        count = sum(right.updated[i].values())
        assert model.monitor.updates[i - 1] == count, f"{where}, module {i}"
        assert int(model.optimizers.each[i - 1].iterations) == count
        for found, wanted in zip(module.layer.weights, right.weights[i][steps], strict=True):
            close(found, wanted, f"{where}, module {i}")
        close(module.activation, right.h[i][steps], f"{where}, module {i}")
    assert int(model.steps) == steps


@pytest.mark.parametrize("algorithm", REFERENCES)
def test_a_stream_in_parts_has_the_windows_of_the_whole(algorithm):
    """`advance` by multiples of L; the stream has no end, so that no window is cut short."""
    frames, targets = stream_of_frames(24)
    whole, parts = (dense_model(algorithm, 3, every=4) for _ in range(2))
    whole.advance(clips_of(frames), clips_of(targets))
    for t in range(0, 24, 8):
        parts.advance(clips_of(frames[t : t + 8]), clips_of(targets[t : t + 8]))
    right = REFERENCES[algorithm](weights_of(3), frames, targets, RATE, DECAY, CLIP, 4).run()
    for i, (left, module) in enumerate(zip(whole.modules, parts.modules, strict=True), 1):
        for a, b, wanted in zip(
            left.layer.weights, module.layer.weights, right.weights[i][24], strict=True
        ):
            close(a, wanted, f"module {i}")
            close(b, wanted, f"module {i}, in parts")


def scalar_model(every, steps, algorithm="sideways"):
    """y = theta * x, theta = 2, 3; loss y^t * output; SGD with rate 1."""
    layers = [L.Dense(1, use_bias=False, dtype="float64") for _ in range(2)]
    model = SidewaysModel(layers, algorithm=algorithm, update_every=every, devices="CPU:0")
    model.compile(tf.keras.optimizers.legacy.SGD(1.0), lambda y, h: y * h)
    model._build(tf.TensorSpec([1, steps, 1], tf.float64))
    for layer, theta in zip(layers, (2.0, 3.0), strict=True):
        layer.set_weights([np.array([[theta]])])
    return model


def test_two_windows_worked_by_hand():
    """Two modules, K = 6, L = 3; x = 1, 2, 3, 4, 5, 6, y = 1/8 at every step.

    Window 1, theta = (2, 3): h_1 = 2, 4 at steps 1, 2.
      module 2, steps 2, 3: y h_1^{t-1} = 2/8, 4/8; mean 3/8: theta_2 = 3 - 3/8 = 2.625
      module 1, step 3: it meets y * 3 of step 2 at x^3 = 3: 9/8: theta_1 = 2 - 9/8 = 0.875
    Window 2: h_1 is 2 * 3 = 6 (step 3, old theta), then 0.875 * 4, * 5 = 3.5, 4.375.
      module 2, steps 4 - 6: 6/8, 3.5/8, 4.375/8; mean 13.875/24: theta_2 = 2.625 - 0.578125
      module 1, steps 4 - 6: step 4 meets y * 3 of step 3, steps 5, 6 meet y * 2.625:
        (3 * 4 + 2.625 * 5 + 2.625 * 6) / 8 / 3 = 40.875/24: theta_1 = 0.875 - 1.703125
    """
    model = scalar_model(every=3, steps=6)
    clip = tf.reshape(tf.range(1.0, 7.0, dtype=tf.float64), [1, 6, 1])
    model.train_on_batch(clip, tf.fill([1, 6, 1], tf.constant(0.125, tf.float64)))
    found = [float(module.layer.kernel[0, 0]) for module in model.modules]
    assert found == [0.875 - 1.703125, 2.625 - 0.578125]
    assert model.monitor.updates.numpy().tolist() == [2, 2]
    # The mean over both updates of the averaged pseudo-gradients' norms.
    norms = [(1.125 + 1.703125) / 2, (0.375 + 0.578125) / 2]
    assert model.monitor.gradient_norm.numpy().tolist() == norms


@pytest.mark.parametrize("algorithm", REFERENCES)
@pytest.mark.parametrize("every", [0, 20, 25])
def test_with_l_of_k_and_more_it_is_the_episode_engine_and_one_update(algorithm, every):
    frames, targets = stream_of_frames(20)
    model = dense_model(algorithm, 3, every=every)
    found = model.pseudo_gradients(clips_of(frames), clips_of(targets)).pseudo_gradients
    right = [[w.numpy() for w in module.layer.weights] for module in model.modules]
    train(model, frames, targets)
    for i, (gradients, weights) in enumerate(zip(found, right, strict=True)):
        each, variables = optimizer()(), [tf.Variable(w) for w in weights]
        each.apply_gradients(zip(gradients, variables, strict=True))
        for left, wanted in zip(model.modules[i].layer.weights, variables, strict=True):
            close(left, wanted, f"module {i + 1}")
    assert int(model.steps) == 20


@pytest.mark.parametrize("algorithm", REFERENCES)
def test_the_loss_shown_is_the_mean_over_the_due_steps(algorithm):
    """Weights as good as still: Sideways over steps D .. K; BP over one step in each cycle."""
    frames, targets = stream_of_frames(20)
    layers = [L.Dense(WIDTH, "tanh", dtype="float64") for _ in range(3)]
    model = SidewaysModel(layers, algorithm=algorithm, update_every=4, devices="CPU:0")
    ready(model, optimizer("sgd", rate=0.0, decay=0.0), weights_of(3))
    shown = model.train_on_batch(clips_of(frames), clips_of(targets))
    outputs = frames
    for layer in layers:
        outputs = layer(outputs).numpy()
    pairs = [(t - 2, t) for t in range(3, 21)]
    if algorithm == "bp":
        pairs = [(start, start + 2) for start in (1, 6, 11, 16)]
    losses = [squared_error(targets[t - 1], outputs[tau - 1]).mean() for tau, t in pairs]
    # Keras' own mean of the losses of batches is kept in float32.
    assert shown == pytest.approx(np.mean(losses), rel=1e-6)


def test_masks_hold_while_the_pipe_goes_on_and_are_new_in_the_next_clip():
    drop = L.Dropout(0.5, dtype="float64")
    layers = [L.Activation("linear", dtype="float64"), drop]
    seen = []

    class Watched(L.Layer):
        def call(self, x):
            watched = tf.numpy_function(lambda v: (seen.append(v.copy()), v)[1], [x], x.dtype)
            return tf.ensure_shape(watched, x.shape) + 0 * x

    model = SidewaysModel(
        [layers[0], tf.keras.Sequential([drop, Watched(dtype="float64")])], update_every=3,
        devices="CPU:0",
    )  # fmt: skip
    ready(model, "sgd")
    ones = tf.ones([BATCH, 12, WIDTH], tf.float64)
    masks = []
    for _ in range(2):
        seen.clear()
        model.train_on_batch(ones, ones)
        assert len({value.tobytes() for value in seen if value.any()}) == 1
        masks.append(next(value for value in seen if value.any()))
    assert (masks[0] != masks[1]).any()

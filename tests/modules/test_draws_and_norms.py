"""Batch norm and draws by computation step, against Keras one step after the other."""

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.modules.block import SidewaysBlock, build_modules
from sideways_tf.modules.folded_norm import can_fold, move
from sideways_tf.modules.step import Step

L = tf.keras.layers


def built(layer, shape, dtype=tf.float32):
    module = SidewaysBlock(layer)
    build_modules([module], tf.TensorSpec(shape, dtype))
    return module


def run(module, x, count, folded=True, masks="episode", seed=(5, 6), first=1):
    """The module's training pass over x [count * B, ...], and its memory after it."""
    memory = dict(zip([v.ref() for v in module.state], module.memory(), strict=True))
    frames = tf.range(first, first + count)
    step = Step(count, frames, tf.constant(seed), memory, folded, masks)
    return module.forward(x, step), [memory[v.ref()] for v in module.state]


NORMS = {
    "images, fused": ([4, 5, 6, 3], {}),
    "vectors": ([4, 3], {}),
    "images, not fused": ([4, 5, 6, 3], {"fused": False}),
    "video, 5-D": ([4, 2, 5, 6, 3], {}),
    "sequences, 3-D": ([4, 5, 3], {}),
    "float64 images": ([4, 5, 6, 3], {"dtype": "float64"}),
    "tiny epsilon": ([4, 5, 6, 3], {"epsilon": 1e-6}),
    "tiny epsilon, vectors": ([4, 3], {"epsilon": 1e-6}),
    "no scale, no centre": ([4, 5, 6, 3], {"scale": False, "center": False}),
    "not trained": ([4, 5, 6, 3], {"trainable": False}),
    "no axis of pixels": ([4, 1, 1, 3], {}),
}


@pytest.mark.parametrize("case", NORMS)
def test_batch_norm_equals_keras_step_by_step(case):
    """Keras' fused kernel takes the unbiased variance into the moving one, for images alone."""
    shape, kwargs = NORMS[case]
    dtype = kwargs.get("dtype", "float32")
    keras = L.BatchNormalization(momentum=0.6, **kwargs)
    ours = built(L.BatchNormalization(momentum=0.6, **kwargs), shape, dtype)
    scale = 1e-3 if "epsilon" in case else 3.0
    clip = tf.random.stateless_normal([3, *shape], [1, 2], scale / 2, scale, dtype)
    keras.build(shape)
    start = [np.random.default_rng(1).random(w.shape) + 0.5 for w in keras.weights]
    for layer in (keras, ours.layer):
        layer.set_weights(start)
    out, after = run(ours, tf.reshape(clip, [3 * shape[0], *shape[1:]]), 3)
    expected = [keras(x, training=True) for x in clip]
    # float32 moments in another order of summation; float64 images go through a float32 kernel.
    np.testing.assert_allclose(out, tf.concat(expected, 0), rtol=1e-4, atol=1e-5)
    for variable, value in zip(ours.state, after, strict=True):
        wanted = getattr(keras, variable.name.split("/")[-1].split(":")[0])
        np.testing.assert_allclose(value, wanted, rtol=1e-5, err_msg=variable.name)
    for variable, value in zip(ours.layer.weights, start, strict=True):
        np.testing.assert_array_equal(variable, value.astype(dtype), "only the engine assigns")
    assert len(ours.state) == (0 if case == "not trained" else 2)


def test_moving_statistics_in_closed_form_by_hand():
    """0.5: 8 -> (8 + 2) / 2 = 5 -> (5 + 4) / 2 = 4.5 -> (4.5 + 1) / 2 = 2.75."""
    values = tf.constant([[2.0], [4.0], [1.0]])
    assert move(tf.constant([8.0]), values, 0.5).numpy() == [2.75]


def test_another_axis_than_channels_is_left_for_the_engines_to_judge():
    assert not can_fold(L.BatchNormalization(axis=1))
    assert not can_fold(L.BatchNormalization(renorm=True))
    assert not can_fold(type("Own", (L.BatchNormalization,), {})())
    assert can_fold(L.BatchNormalization())
    norm = L.BatchNormalization(axis=2)
    norm.build([None, 3, 2])
    assert can_fold(norm)


class Late(L.Layer):
    """Makes its batch norm only when it is built."""

    def build(self, _):
        self.norm = L.BatchNormalization()

    def call(self, h, training=False):
        return self.norm(h, training=training)


def functional():
    inner = tf.keras.Sequential([L.Dense(4), L.BatchNormalization(), L.Dropout(0.5)])
    inputs = tf.keras.Input([3])
    return tf.keras.Model(inputs, L.Dense(3)(inner(inputs)))


@pytest.mark.parametrize("make", [Late, functional, L.BatchNormalization])
def test_norms_are_reached_at_any_depth_and_nothing_outside_engines_changes(make):
    layer = make()
    x = tf.random.stateless_normal([5, 3], [1, 2])
    before = layer(x)
    kinds = [type(inner) for inner in [layer, *layer.submodules]]
    module = built(layer, [5, 3])
    run(module, x, 1)
    assert kinds == [type(inner) for inner in [layer, *layer.submodules]]
    assert not any("call" in vars(inner) for inner in [layer, *layer.submodules])
    np.testing.assert_array_equal(layer(x), before)
    assert len(module.state) == 2


DRAWS = {
    "dropout": lambda: L.Dropout(0.25),
    "dropout of channels": lambda: L.SpatialDropout1D(0.25),
    "dropout with a noise shape": lambda: L.Dropout(0.25, noise_shape=[None, 1, 6]),
    "gaussian noise": lambda: L.GaussianNoise(1.0),
    "gaussian dropout": lambda: L.GaussianDropout(0.25),
    "alpha dropout": lambda: L.AlphaDropout(0.25),
    "recurrent dropout": lambda: L.SimpleRNN(6, recurrent_dropout=0.5, return_sequences=True),
}


@pytest.mark.parametrize("masks", ["episode", "step"])
@pytest.mark.parametrize("case", DRAWS)
def test_draws_are_the_same_folded_and_frame_by_frame(case, masks):
    module = built(DRAWS[case](), [2, 5, 6])
    clip = tf.random.stateless_normal([3, 2, 5, 6], [1, 2])
    if case != "recurrent dropout" or masks == "episode":
        folded, _ = run(module, tf.reshape(clip, [6, 5, 6]), 3, masks=masks)
        single = [run(module, x, 1, False, masks, first=n)[0] for n, x in enumerate(clip, 1)]
        np.testing.assert_allclose(folded, tf.concat(single, 0), rtol=1e-6, atol=1e-6)
    same = [run(module, clip[0], 1, False, masks, first=n)[0].numpy() for n in (1, 2)]
    assert np.array_equal(*same) == (masks == "episode")
    again = run(module, clip[0], 1, False, masks)[0]
    np.testing.assert_array_equal(again, same[0])
    other = run(module, clip[0], 1, False, masks, seed=(5, 7))[0]
    assert (other.numpy() != same[0]).any()


def test_dropout_keeps_the_mean_and_follows_seed_and_order():
    x = tf.ones([3 * 2, 500])
    module = built(tf.keras.Sequential([L.Dropout(0.25), L.Dropout(0.25)]), [6, 500])
    twice, _ = run(module, x, 3, masks="step")
    values = np.unique(twice)
    np.testing.assert_allclose(values, [0.0, 1 / 0.75**2], rtol=1e-6)
    # Two masks that differ keep 0.5625; the same one twice would keep 0.75.
    assert np.count_nonzero(twice) / 3000 == pytest.approx(0.5625, abs=0.04)
    assert len({row.tobytes() for row in twice.numpy()}) == 6
    held, _ = run(module, x, 3)
    assert len({row.tobytes() for row in held.numpy()}) == 2
    np.testing.assert_array_equal(held[:2], held[2:4])
    np.testing.assert_array_equal(module(x, training=False), x)

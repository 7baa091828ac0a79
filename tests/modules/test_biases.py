"""Biases in bfloat16: their gradients to its rounding, however many numbers share one."""

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.engines.passes import backward, forward, open_step
from sideways_tf.modules import SidewaysBlock
from sideways_tf.modules.biases import bias_add, exact_biases

L = tf.keras.layers
LAYERS = {
    "dense": (lambda: L.Dense(3), [4096]),
    "convolution": (lambda: L.Conv2D(3, 1), [64, 64]),
    "transposed": (lambda: L.Conv2DTranspose(3, 1), [64, 64]),
    "depthwise": (lambda: L.DepthwiseConv2D(1), [64, 64]),
    "volume": (lambda: L.Conv3D(3, 1), [16, 16, 16]),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float32"])
def test_a_bias_that_4096_ones_reach_has_their_number_as_its_gradient(name, policy):
    make, shape = LAYERS[name]
    layer = make()
    layer = type(layer).from_config({**layer.get_config(), "dtype": policy})
    module = SidewaysBlock(layer)
    spec = tf.TensorSpec([1, *shape, 3], layer.compute_dtype)
    module.inspect(1, spec)

    @tf.function
    def gradients():
        step = open_step(module, 1, tf.constant([0, 0]), module.memory(), "episode")
        run = forward(module, tf.zeros(spec.shape, spec.dtype), step)
        return backward(run, tf.ones_like(run.h_out), first=True)[0]

    found = dict(zip([v.name for v in module.trainable_variables], gradients(), strict=True))
    (bias,) = (g for name, g in found.items() if "bias" in name)
    np.testing.assert_array_equal(bias, [4096.0] * 3)


def test_channels_may_come_first():
    value = tf.ones([2, 3, 32, 32], tf.bfloat16)
    bias = tf.constant([1.0, 2.0, 4.0], tf.bfloat16)
    with tf.GradientTape() as tape:
        tape.watch([value, bias])
        out = bias_add(value, bias, "NCHW")
    np.testing.assert_array_equal(tf.cast(out[:, :, 0, 0], tf.float32), [[2, 3, 5]] * 2)
    below, gradient = tape.gradient(out, [value, bias])
    np.testing.assert_array_equal(tf.cast(gradient, tf.float32), [2048.0] * 3)
    np.testing.assert_array_equal(tf.cast(below, tf.float32), np.ones(value.shape))


def test_keras_is_left_as_it_is():
    layer = L.Dense(1, dtype="bfloat16", kernel_initializer="zeros")
    layer.build([None, 1])
    before = type(layer).call.__globals__["tf"].nn.bias_add
    with exact_biases():
        assert type(layer).call.__globals__["tf"].nn.bias_add is bias_add
    assert type(layer).call.__globals__["tf"].nn.bias_add is before

"""Small float64 networks for the engine tests."""

import numpy as np
import tensorflow as tf

from sideways_tf.modules import SidewaysBlock

L = tf.keras.layers
# Momentum 0.75: Keras rounds 1 - momentum to float32, which must not show in float64 tests.


def squared_error(targets, outputs):
    """[B, C]"""
    return (targets - outputs) ** 2


def dense_layers(depth, norm=False, width=4):
    """`depth` small nonlinear layers, some of them of several layers."""
    layers = []
    for i in range(depth):
        dense = [L.Dense(width + i % 2, activation="tanh", dtype="float64")]
        if norm and i % 2 == 0:
            dense = [
                L.Dense(width + i % 2, use_bias=False, dtype="float64"),
                L.BatchNormalization(dtype="float64", momentum=0.75),
                L.Activation("tanh", dtype="float64"),
            ]
        layers.append(tf.keras.Sequential(dense))
    return layers


def conv_layers(norm=False):
    """Three convolutional modules and a linear one, for frames [B, 6, 6, 2]."""
    layers = []
    for channels, stride in ((3, 2), (4, 1), (3, 2)):
        conv = [L.Conv2D(channels, 3, stride, "same", use_bias=False, dtype="float64")]
        if norm:
            conv.append(L.BatchNormalization(dtype="float64", momentum=0.75))
        layers.append(tf.keras.Sequential([*conv, L.Activation("tanh", dtype="float64")]))
    head = [L.GlobalAveragePooling2D(dtype="float64"), L.Dense(3, dtype="float64")]
    return [*layers, tf.keras.Sequential(head)]


def copies(make, frame_shape, count, devices=None, seed=0):
    """Plain layers with random weights, and `count` lists of modules with the same weights."""
    rng = np.random.default_rng(seed)
    plain = make()
    run(plain, tf.zeros(frame_shape, tf.float64))
    for layer in plain:
        layer.set_weights([rng.uniform(0.2, 1.0, w.shape) * sign(rng, w) for w in layer.weights])
    lists = []
    for _ in range(count):
        names = devices or [""] * len(plain)
        modules = [SidewaysBlock(x, device=d) for x, d in zip(make(), names, strict=True)]
        lists.append(modules)
        run(modules, tf.zeros(frame_shape, tf.float64))
        for module, layer in zip(modules, plain, strict=True):
            set_weights_by_name(module, layer)
    return plain, lists


def sign(rng, weight):
    """Random signs for kernels; moving variances must stay positive."""
    return rng.choice([-1.0, 1.0], weight.shape) if len(weight.shape) > 1 else 1.0


def set_weights_by_name(module, layer):
    module.layer.set_weights(layer.get_weights())


def run(layers, h):
    for layer in layers:
        h = layer(h, training=False)
    return h


def random_clip(shape, outputs, seed=0):
    """clip [K, B, ...] and targets [K, B, outputs], float64."""
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=[*shape[:2], outputs])
    return tf.constant(rng.normal(size=shape)), tf.constant(targets)


def assert_episodes_equal(left, right, rtol=1e-10, atol=1e-12):
    """Loss, outputs, and every gradient by module and place: never a sum, errors could cancel.

    `atol` is for numbers up to 1, and of a module's largest gradient where that is more: that of a
    bias before a batch norm is zero, and found as what the others' rounding leaves.
    """
    np.testing.assert_allclose(left[0], right[0], rtol, atol, err_msg="loss")
    np.testing.assert_allclose(left[1], right[1], rtol, atol, err_msg="outputs")
    assert len(left[2]) == len(right[2])
    for i, (a, b) in enumerate(zip(left[2], right[2], strict=True), 1):
        assert len(a) == len(b)
        near = atol * max([1.0, *(np.abs(h).max(initial=0.0) for h in b)])
        for n, (g, h) in enumerate(zip(a, b, strict=True)):
            np.testing.assert_allclose(g, h, rtol, near, err_msg=f"module {i}, variable {n}")

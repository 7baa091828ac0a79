"""The convolution that holds its device: the numbers of a plain one, whole and shared out."""

import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.bench.one_at_a_time import HeldConv2D, alone
from sideways_tf.engines import make_engine
from sideways_tf.modules import SidewaysBlock

PLAIN = {"padding": "same", "activation": "relu", "use_bias": False}


def episode(kind, slices):
    tf.keras.utils.set_random_seed(0)
    more = {} if kind is HeldConv2D else PLAIN
    head = [tf.keras.layers.GlobalAveragePooling2D(), tf.keras.layers.Dense(3)]
    layers = [kind(4, 3, 2, **more), kind(8, 5, **more), tf.keras.Sequential(head)]
    places = [[], slices, []]
    modules = [
        SidewaysBlock(layer, f"CPU:{n % 2}", each)
        for n, (layer, each) in enumerate(zip(layers, places, strict=True))
    ]
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits
    engine = make_engine("sideways", modules, loss, "pipelined")
    engine.build(tf.TensorSpec([2, 8, 8, 3]))
    clip = tf.random.stateless_uniform([7, 2, 8, 8, 3], [0, 1])
    found = engine(clip, tf.zeros([7, 2], tf.int32), tf.constant([0, 0]))
    return [np.asarray(x) for x in tf.nest.flatten([found.loss, found.pseudo_gradients])]


@pytest.mark.parametrize("slices", [[], [("CPU:0", 3), ("CPU:1", 5)]], ids=["whole", "shared out"])
def test_a_held_convolution_is_a_convolution(slices):
    expected = episode(tf.keras.layers.Conv2D, [])
    for held, plain in zip(episode(HeldConv2D, slices), expected, strict=True):
        np.testing.assert_allclose(held, plain, rtol=2e-5, atol=1e-7)  # float32, other orders.
    assert all(np.any(x) for x in expected)


def test_a_device_computes_one_pass_at_a_time():
    running, most = [0], [0]

    def work(x):
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.002)  # Others would go on meanwhile.
        running[0] -= 1
        return x

    @tf.function
    def many(x):
        found = []
        with tf.device("CPU:0"):
            for n in range(20):
                found += alone(
                    lambda x: [
                        tf.ensure_shape(
                            tf.numpy_function(work, [x], tf.float32, stateful=False), [1]
                        )
                    ],
                    x + n,
                )
        return tf.add_n(found)

    assert float(many(tf.constant([1.0]))[0]) == 20 + 190
    assert most[0] == 1


def test_a_device_may_be_steps_ahead_of_another():
    """A step of one begins while one before is still at work on the other, as the engines allow."""
    second_step, waited = threading.Event(), []

    def ahead(t):
        if t == 1:
            second_step.set()
        return np.float32([t])

    def behind(t):
        if t == 0:
            waited.append(second_step.wait(20))
        return np.float32([t])

    def held(device, work, t):
        def compute(x):
            found = tf.numpy_function(work, [t, x], tf.float32, stateful=False)
            return [tf.ensure_shape(found, [1])]

        with tf.device(device):
            return alone(compute, tf.cast(t, tf.float32)[None])[0]

    @tf.function
    def loop():
        def body(t, one, two):
            return (
                t + 1,
                one + held("CPU:0", lambda t, _: ahead(t), t),
                two + held("CPU:1", lambda t, _: behind(t), t),
            )

        zero = tf.zeros([1])
        return tf.while_loop(lambda t, *_: t < 3, body, [0, zero, zero])[1:]

    one, two = loop()
    assert (float(one[0]), float(two[0])) == (3.0, 3.0)
    assert waited == [True]

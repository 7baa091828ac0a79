"""Exact pipelined BP: the same numbers as BP frame by frame, in every respect."""

import pytest
import tensorflow as tf

from sideways_tf.engines import FrameByFrameBackprop, GPipeBackprop, PipelinedSideways, make_engine
from sideways_tf.errors import UserError
from tests.engines.networks import (
    L,
    assert_episodes_equal,
    conv_layers,
    copies,
    dense_layers,
    random_clip,
    squared_error,
)

DEVICES = [f"CPU:{n}" for n in range(8)]
SEED = tf.constant([3, 5])


def both(make, frame_shape, clip, targets, devices=None, seed=SEED):
    """Episodes of BP and of GPipe-BP from the same weights, and the modules of both."""
    _, (left, right) = copies(make, frame_shape, 2, devices)
    bp, gpipe = FrameByFrameBackprop(left, squared_error), GPipeBackprop(right, squared_error)
    return bp(clip, targets, seed), gpipe(clip, targets, seed), left, right


@pytest.mark.once
@pytest.mark.parametrize(("depth", "frames"), [(1, 1), (1, 4), (3, 1), (3, 2), (3, 7), (5, 4)])
@pytest.mark.parametrize("norm", [False, True])
def test_equals_frame_by_frame(depth, frames, norm):
    clip, targets = random_clip([frames, 2, 4], 4 + (depth - 1) % 2)
    left, right, *_ = both(lambda: dense_layers(depth, norm), [2, 4], clip, targets)
    assert_episodes_equal(left, right)


@pytest.mark.parametrize("norm", [False, True])
def test_equals_frame_by_frame_convolutional(norm):
    clip, targets = random_clip([5, 2, 6, 6, 2], 3)
    left, right, *_ = both(lambda: conv_layers(norm), [2, 6, 6, 2], clip, targets)
    assert_episodes_equal(left, right)


def test_moving_statistics_take_each_frame_once_in_order():
    clip, targets = random_clip([6, 3, 4], 4)
    _, _, left, right = both(lambda: dense_layers(3, norm=True), [3, 4], clip, targets)
    pairs = [
        (a, b)
        for m, n in zip(left, right, strict=True)
        for a, b in zip(m.state, n.state, strict=True)
    ]
    assert len(pairs) == 4
    for a, b in pairs:
        tf.debugging.assert_near(a, b, rtol=1e-12, atol=0)


def test_dropout_repeats_its_mask_on_the_way_back():
    def make():
        dense = dense_layers(3)
        dense[1].add(L.Dropout(0.5, dtype="float64"))
        return dense

    clip, targets = random_clip([5, 2, 4], 4)
    left, right, *_ = both(make, [2, 4], clip, targets)
    assert_episodes_equal(left, right)
    other, *_ = both(make, [2, 4], clip, targets, seed=tf.constant([3, 6]))
    assert abs(float(other.loss - left.loss)) > 1e-6  # The masks matter at all.


@pytest.mark.parametrize("devices", [DEVICES[:3], ["CPU:1", "CPU:1", "CPU:0"]])
def test_the_same_on_several_devices(devices):
    clip, targets = random_clip([6, 2, 6, 6, 2], 3)

    def make():
        layers = conv_layers(norm=True)
        return [*layers[:2], tf.keras.Sequential(layers[2:])]

    left, right, *_ = both(make, [2, 6, 6, 2], clip, targets, devices)
    assert_episodes_equal(left, right)


def test_refuses_modules_with_state_of_their_own():
    class Counting(L.Layer):
        def build(self, shape):
            self.count = self.add_weight("count", [], trainable=False)

        def call(self, x):
            self.count.assign_add(1.0)
            return x

    _, (modules,) = copies(lambda: [*dense_layers(2), Counting(dtype="float64")], [2, 4], 1)
    clip, targets = random_clip([4, 2, 4], 5)
    with pytest.raises(UserError, match=r"module 3 .* assigns state of its own.*frame_by_frame"):
        GPipeBackprop(modules, squared_error)(clip, targets)


def test_is_bp_only():
    _, (modules,) = copies(lambda: dense_layers(2), [2, 4], 1)
    assert type(make_engine("bp", modules, squared_error, "gpipe")) is GPipeBackprop
    with pytest.raises(
        UserError, match="engine=gpipe is none of algorithm=sideways: .*time_shifted"
    ):
        make_engine("sideways", modules, squared_error, "gpipe")
    assert type(make_engine("sideways", modules, squared_error, "pipelined")) is PipelinedSideways

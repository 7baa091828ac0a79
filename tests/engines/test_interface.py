"""What the engines refuse, each in one line that says what to do."""

import pytest
import tensorflow as tf

from sideways_tf.engines import (
    BatchedBackprop,
    FrameByFrameBackprop,
    PipelinedSideways,
    TimeShiftedSideways,
)
from sideways_tf.errors import UserError
from sideways_tf.modules import SidewaysBlock
from tests.engines.networks import dense_layers, random_clip, squared_error

ALL = (PipelinedSideways, TimeShiftedSideways, FrameByFrameBackprop, BatchedBackprop)
each_engine = pytest.mark.parametrize("engine", ALL)


def blocks(depth=3):
    return [SidewaysBlock(layer) for layer in dense_layers(depth)]


@pytest.mark.parametrize("engine", ALL[:2])
def test_a_clip_shorter_than_the_update_cycle(engine):
    clip, targets = random_clip([4, 2, 3], 4)
    with pytest.raises(UserError, match=r"4 frames.*3 modules.*5 frames"):
        engine(blocks(), squared_error)(clip, targets)


@each_engine
def test_targets_of_another_length(engine):
    clip, targets = random_clip([6, 2, 3], 4)
    with pytest.raises(UserError, match=r"targets of shape \(5, 2, 4\).*clip of shape \(6, 2, 3\)"):
        engine(blocks(), squared_error)(clip, targets[:5])


@each_engine
def test_a_loss_that_has_averaged_already(engine):
    clip, targets = random_clip([6, 2, 3], 4)
    with pytest.raises(UserError, match="one for each example"):
        engine(blocks(), lambda y, h: tf.reduce_mean((y - h) ** 2))(clip, targets)


@each_engine
def test_a_keras_loss_object_is_taken_without_its_reduction(engine):
    clip, targets = random_clip([6, 2, 3], 4)
    modules = blocks()
    plain = engine(modules, squared_error)(clip, targets)
    keras = engine(modules, tf.keras.losses.MeanSquaredError())(clip, targets)
    assert float(plain.loss) == pytest.approx(float(keras.loss), rel=1e-12)


@each_engine
def test_no_modules(engine):
    with pytest.raises(UserError, match="at least one module"):
        engine([], squared_error)


@each_engine
def test_a_layer_in_two_modules(engine):
    shared = tf.keras.layers.Dense(3, dtype="float64", name="shared")
    clip, targets = random_clip([6, 2, 3], 3)
    with pytest.raises(UserError, match="'shared' is in modules 1 and 2"):
        engine([SidewaysBlock(shared), SidewaysBlock(shared, name="b")], squared_error)(
            clip, targets
        )


@each_engine
def test_a_module_that_does_not_take_what_comes_from_below(engine):
    layers = [tf.keras.layers.Dense(3), tf.keras.layers.Conv2D(2, 3, name="picture")]
    with pytest.raises(UserError, match=r"module 2 \(picture\) does not take .*\[2, 3\]"):
        engine([SidewaysBlock(x) for x in layers], squared_error)(
            tf.zeros([4, 2, 3]), tf.zeros([4, 2])
        )


@each_engine
def test_an_output_of_unknown_shape(engine):
    layers = [tf.keras.layers.Lambda(lambda x: tf.py_function(lambda v: v, [x], x.dtype))]
    with pytest.raises(UserError, match=r"module 1 \(lambda.*unknown.*tf.ensure_shape"):
        engine([SidewaysBlock(x) for x in layers], squared_error)(
            tf.zeros([4, 2, 3]), tf.zeros([4, 2, 3])
        )


@each_engine
def test_another_batch_size_and_clip_length_later(engine):
    modules = blocks()
    run = engine(modules, squared_error)
    for frames, batch in ((6, 2), (5, 4), (6, 2)):
        clip, targets = random_clip([frames, batch, 3], 4)
        assert run(clip, targets).outputs.shape[1:] == [batch, 4]


@each_engine
def test_whole_numbers_as_frames(engine):
    """uint8 frames, turned into floats by the first module."""
    scale = tf.keras.layers.Rescaling(1 / 255, dtype="float64")
    modules = [SidewaysBlock(tf.keras.Sequential([scale])), *blocks(2)]
    clip = tf.cast(tf.random.stateless_uniform([6, 2, 3], [0, 1], 0, 255, tf.int32), tf.uint8)
    episode = engine(modules, squared_error)(clip, tf.zeros([6, 2, 5], tf.float64))
    assert episode.pseudo_gradients[0] == []
    assert float(tf.norm(episode.pseudo_gradients[1][0])) > 0

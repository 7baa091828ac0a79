"""Modules whose frames cannot be computed all at once are refused by name, and only those."""

import numpy as np
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
from tests.engines.networks import assert_episodes_equal, random_clip, squared_error

L = tf.keras.layers


class Centred(L.Layer):
    """Mixes the examples of a batch, without any state."""

    def call(self, h):
        return h - tf.reduce_mean(h, axis=0, keepdims=True)


class OtherNorm(L.BatchNormalization):
    pass


class HiddenNorm(L.Layer):
    """A user's block with a batch norm of another kind inside, which no conversion knows."""

    def __init__(self):
        super().__init__(dtype="float64")
        self.norm = OtherNorm(dtype="float64", momentum=0.75)

    def call(self, h, training=False):
        return self.norm(h, training=training)


class Counter(L.Layer):
    """Keeps state of its own."""

    def build(self, _):
        self.calls = self.add_weight(
            "calls", [], initializer="zeros", dtype="float64", trainable=False
        )

    def call(self, h):
        self.calls.assign_add(1)
        return h


class Noise(L.Layer):
    def call(self, h):
        return h + tf.random.normal(tf.shape(h), dtype=h.dtype)


def network(layer):
    layers = [L.Dense(4, dtype="float64"), layer, L.Dense(4, dtype="float64")]
    return [SidewaysBlock(x) for x in layers]


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: Centred(name="centred", dtype="float64"), "mixes the examples"),
        (lambda: HiddenNorm(), "assigns state"),
        (lambda: Counter(name="counter", dtype="float64"), "assigns state"),
        (lambda: Noise(name="noise", dtype="float64"), "random numbers of its own"),
    ],
)
@pytest.mark.parametrize("engine", [TimeShiftedSideways, BatchedBackprop])
def test_refused_by_name_with_the_remedy(layer, reason, engine):
    clip, targets = random_clip([5, 3, 2], 4)
    with pytest.raises(UserError, match=rf"module 2 \(.*{reason}.*engine=pipelined"):
        engine(network(layer()), squared_error)(clip, targets)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: L.BatchNormalization(dtype="float64"),
        lambda: L.Dropout(0.5, dtype="float64"),
        lambda: L.GaussianNoise(1.0, dtype="float64"),
        lambda: L.LayerNormalization(dtype="float64"),
        lambda: tf.keras.Sequential([L.Dense(3, dtype="float64"), L.Dropout(0.2, dtype="float64")]),
        lambda: L.Lambda(tf.identity, dtype="float64"),
    ],
)
def test_everything_else_is_taken(layer):
    clip, targets = random_clip([5, 3, 2], 4)
    TimeShiftedSideways(network(layer()), squared_error)(clip, targets)


def test_the_pipeline_runs_hidden_batch_norm_and_spares_its_statistics_while_empty():
    clip, targets = random_clip([6, 3, 2], 4)
    modules, twin = (
        network(HiddenNorm()),
        network(L.BatchNormalization(dtype="float64", momentum=0.75)),
    )
    engines = [PipelinedSideways(m, squared_error) for m in (modules, twin)]
    for engine in engines:
        engine.build(tf.TensorSpec([3, 2], tf.float64))
    for a, b in zip(modules, twin, strict=True):
        b.layer.set_weights(a.layer.get_weights())
    assert_episodes_equal(*(engine(clip, targets) for engine in engines))
    for a, b in zip(modules[1].layer.weights, twin[1].layer.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_own_counters_count_only_real_frames():
    """Module 2 of 3 holds real frames at steps 2 .. K."""
    clip, targets = random_clip([6, 3, 2], 4)
    modules = network(Counter(dtype="float64"))
    engine = PipelinedSideways(modules, squared_error)
    engine.build(tf.TensorSpec([3, 2], tf.float64))
    before = float(modules[1].layer.calls)
    engine(clip, targets)
    assert float(modules[1].layer.calls) - before == 5
    frame_by_frame = FrameByFrameBackprop(modules, squared_error)
    frame_by_frame.build(tf.TensorSpec([3, 2], tf.float64))
    before = float(modules[1].layer.calls)
    frame_by_frame(clip, targets)
    assert float(modules[1].layer.calls) - before == 6

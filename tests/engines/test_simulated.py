"""Simulated accelerators: the engines' own numbers, one pass at a time, every pass accounted for.

No test here has a time limit: a busy machine only makes passes longer or later.
"""

from collections import Counter

import pytest
import tensorflow as tf

from sideways_tf.bench.simulated import SimulatedLayer, simulated_modules
from sideways_tf.bench.timeline import Event, Timeline, busy_shares
from sideways_tf.engines import FrameByFrameBackprop, GPipeBackprop, PipelinedSideways
from sideways_tf.modules import SidewaysBlock
from sideways_tf.plan.times import ModuleTime
from tests.engines.networks import assert_episodes_equal, random_clip, squared_error

L = tf.keras.layers
DEPTH, FRAMES = 3, 6
NUMBERS = [0, 1, 1]
DEVICES = ["CPU:0", "CPU:1"]
SECONDS = ModuleTime(0.001, 0.002)


class Scale(L.Layer):
    """y = weight * x, without an accelerator."""

    def build(self, shape):
        self.weight = self.add_weight("weight", [])
        super().build(shape)

    def call(self, x):
        return self.weight * x


def weighted(modules):
    """The modules with weights 1.5, 2.5, 3.5."""
    for i, module in enumerate(modules):
        module.layer.build([None, 2])
        module.layer.set_weights([1.5 + i])
    return modules


def simulated(timeline):
    modules = simulated_modules([SECONDS] * DEPTH, NUMBERS, DEVICES, timeline)
    return weighted(modules)


@pytest.fixture
def clip():
    pair = random_clip([FRAMES, 2, 2], 2)
    return tuple(tf.cast(x, tf.float32) for x in pair)


@pytest.mark.parametrize("engine", [PipelinedSideways, FrameByFrameBackprop, GPipeBackprop])
def test_numbers_are_those_of_the_engine(engine, clip):
    plain = weighted([SidewaysBlock(Scale()) for _ in range(DEPTH)])
    left = engine(plain, squared_error)(*clip)
    right = engine(simulated(Timeline()), squared_error)(*clip)
    # The same float32 operations in the same order; sums may be fused differently.
    assert_episodes_equal(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("engine", "forwards", "backwards"),
    [
        (PipelinedSideways, 1, (2, 3, 4)),  # gamma_i: not while the pipe fills
        (FrameByFrameBackprop, 1, (FRAMES,) * 3),
        (GPipeBackprop, 2, (FRAMES,) * 3),
    ],
)
def test_every_pass_holds_its_device(engine, forwards, backwards, clip):
    timeline = Timeline()
    engine(simulated(timeline), squared_error)(*clip)
    events = timeline.take()
    passes = Counter((event.module, event.backward) for event in events)
    expected = {(i, False): forwards * FRAMES for i in (1, 2, 3)}
    assert passes == {**expected, **{(i, True): n for i, n in enumerate(backwards, 1)}}
    for event in events:
        assert event.device == NUMBERS[event.module - 1]
        given = SECONDS.backward if event.backward else SECONDS.forward
        assert event.end - event.start == pytest.approx(given)


@pytest.mark.parametrize("engine", [PipelinedSideways, FrameByFrameBackprop, GPipeBackprop])
def test_a_device_does_one_pass_at_a_time(engine, clip):
    timeline = Timeline()
    engine(simulated(timeline), squared_error)(*clip)
    events = timeline.take()
    for device in (0, 1):
        mine = [event for event in events if event.device == device]
        for before, after in zip(mine, mine[1:], strict=False):
            assert after.start >= before.end - 1e-9


def test_sideways_holds_the_frame_that_the_schedule_says(clip):
    timeline = Timeline()
    PipelinedSideways(simulated(timeline), squared_error)(*clip)
    held = {i: [] for i in (1, 2, 3)}
    for event in timeline.take():
        if not event.backward:
            held[event.module].append(event.frame)
    # tau = t - i + 1 for t = 1 .. 6; below 1 the module holds no frame yet.
    assert {i: sorted(frames) for i, frames in held.items()} == {
        1: [1, 2, 3, 4, 5, 6],
        2: [0, 1, 2, 3, 4, 5],
        3: [-1, 0, 1, 2, 3, 4],
    }


def test_bp_blocks_all_modules_for_each_frame(clip):
    timeline = Timeline()
    FrameByFrameBackprop(simulated(timeline), squared_error)(*clip)
    order = [(event.frame, event.module, event.backward) for event in timeline.take()]
    cycle = [(i, False) for i in (1, 2, 3)] + [(i, True) for i in (3, 2, 1)]
    assert order == [(tau, *part) for tau in range(1, FRAMES + 1) for part in cycle]


def test_outside_an_engine_nothing_sleeps():
    timeline = Timeline()
    layer = simulated_modules([SECONDS], [0], DEVICES[:1], timeline)[0].layer
    assert isinstance(layer, SimulatedLayer)
    layer(tf.ones([2, 2]), training=True)
    assert timeline.take() == []


def test_busy_shares_by_hand():
    events = [
        Event(0, 1, False, 1, start=10.0, end=11.0),
        Event(0, 1, True, 1, start=13.0, end=14.0),
        Event(1, 2, False, 1, start=11.0, end=12.0),
    ]
    assert busy_shares(events, 3) == [0.5, 0.25, 0.0]

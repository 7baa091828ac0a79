"""Training on a stream, L = 1: against a hand-written reference, and in limiting cases.

float64: 1e-10 is far above rounding in networks of this size and far below any wrong frame, mask
or moment.
"""

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.engines import FrameByFrameBackprop, PipelinedSideways, schedule
from sideways_tf.engines.module_times import ModuleTime
from sideways_tf.engines.passes import module_seeds
from sideways_tf.engines.simulated import simulated_modules
from sideways_tf.engines.stream import make_stream
from sideways_tf.engines.timeline import Timeline
from sideways_tf.models import SidewaysBlock
from sideways_tf.runs.folder import RunFolder
from sideways_tf.training.checkpoints import Checkpoints
from sideways_tf.training.optimizers import make_optimizer
from sideways_tf.training.stream_update import ByStep, StreamUpdate
from tests.engines.networks import squared_error
from tests.engines.stream_reference import BlockedReference, SidewaysReference

BATCH, WIDTH, STEPS = 2, 4, 20
RATE, DECAY = 2.0**-6, 2.0**-8  # exact in float32, in which optimizers keep them
CLIP = 0.01  # cuts some of the gradients
REFERENCES = {"sideways": SidewaysReference, "bp": BlockedReference}
L = tf.keras.layers


def random(shape, seed):
    return np.random.default_rng(seed).normal(size=shape)


def weights_of(depth):
    return [[random([WIDTH, WIDTH], 10 + i) / 2, random([WIDTH], 20 + i) / 4] for i in range(depth)]


def stream_of_frames(steps=STEPS, seed=1):
    """Frames that change slowly, and targets, float64 [steps, B, width]."""
    drift = np.cumsum(random([steps, BATCH, WIDTH], seed), axis=0) / 3
    return drift, random([steps, BATCH, WIDTH], seed + 1) / 2


def constant(value):
    return lambda step: tf.constant(value)


def optimizer(name="adam", rate=RATE, decay=DECAY):
    def make(steps):
        return make_optimizer(name, ByStep(constant(rate), steps), ByStep(constant(decay), steps))

    return make


def dense_update(algorithm, depth, devices=("",), make=None, clip=CLIP):
    """An update on modules h = tanh(h W + b) with the weights of `weights_of`."""
    modules = []
    for i in range(depth):
        dense = L.Dense(WIDTH, activation="tanh", dtype="float64", name=f"dense{i}")
        modules.append(SidewaysBlock(dense, devices[i * len(devices) // depth]))
    engine = make_stream(algorithm, modules, squared_error)
    engine.build(tf.TensorSpec([BATCH, WIDTH], tf.float64))
    for module, weights in zip(modules, weights_of(depth), strict=True):
        module.layer.set_weights(weights)
    return StreamUpdate(engine, make or optimizer(), clip_value=clip)


def everything(update):
    """All variables by path: weights, buffers, moments, counts."""
    return {
        f"{part}.{n}": v.numpy()
        for part, owner in (
            ("engine", update.engine),
            *((f"module{i}", m) for i, m in enumerate(update.engine.modules, 1)),
        )
        for n, v in enumerate(owner.variables)
    } | {
        f"optimizer{i}.{n}": v.numpy()
        for i, each in enumerate(update.optimizers, 1)
        for n, v in enumerate(each.variables())
    }


@pytest.mark.parametrize("algorithm", REFERENCES)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_each_step_is_that_of_the_hand_written_reference(algorithm, depth):
    frames, targets = stream_of_frames()
    expected = REFERENCES[algorithm](weights_of(depth), frames, targets, RATE, DECAY, CLIP).run()
    update = dense_update(algorithm, depth)
    clipped = 0
    for t in range(1, STEPS + 1):
        metrics = update.advance(frames[t - 1 : t], targets[t - 1 : t])
        for i, module in enumerate(update.engine.modules, 1):
            where = f"step {t}, module {i}"
            assert metrics.updates[i - 1] == expected.due[i][t], where
            close(module.activation, expected.h[i][t], where)
            if i > 1:
                close(module.pseudo_gradient, expected.emitted[i][t], where)
            for found, right in zip(module.layer.weights, expected.weights[i][t], strict=True):
                close(found, right, where)
            flat = np.concatenate([g.ravel() for g in expected.gradients[i][t]])
            np.testing.assert_allclose(  # the metrics are kept in float32
                metrics.gradient_norm[i - 1], np.linalg.norm(flat), rtol=1e-5, err_msg=where
            )
            clipped += int((np.abs(flat) > CLIP).any())
    assert clipped
    for each, right in zip(update.optimizers, expected.adams.values(), strict=True):
        values = [v.numpy() for v in each.variables()]
        assert values[0] == right.count
        for found, wanted in zip(values[1:], [*right.m, *right.v], strict=True):
            close(found, wanted, "moments")


def close(found, right, where):
    np.testing.assert_allclose(found, right, rtol=1e-10, atol=1e-12, err_msg=where)


@pytest.mark.parametrize("algorithm", REFERENCES)
def test_a_whole_clip_in_one_call_is_its_steps_one_by_one(algorithm):
    frames, _ = stream_of_frames()
    whole, parts = dense_update(algorithm, 3), dense_update(algorithm, 3)
    for _ in range(2):  # the second clip begins with an empty pipe
        whole(tf.constant(frames))
        parts.restart(BATCH)
        for t in range(STEPS):
            parts.advance(frames[t : t + 1], frames[t : t + 1])
    left, right = everything(whole), everything(parts)
    for name, value in left.items():
        np.testing.assert_allclose(value, right[name], rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("algorithm", REFERENCES)
def test_a_module_that_is_not_due_is_left_alone(algorithm):
    """Not its weights (they would decay), not its moments, not its count."""
    frames, targets = stream_of_frames()
    depth, update = 3, dense_update(algorithm, 3)
    before = everything(update)
    for t in range(1, STEPS + 1):
        due = update.advance(frames[t - 1 : t], targets[t - 1 : t]).updates
        after = everything(update)
        for i in range(1, depth + 1):
            names = [f"module{i}.0", f"module{i}.1"]
            names += [name for name in before if name.startswith(f"optimizer{i}.")]
            moved = [not np.array_equal(before[name], after[name]) for name in names]
            assert moved == [bool(due[i - 1])] * len(names), f"step {t}, module {i}"
        before = after


def test_masks_are_those_of_the_paper():
    """gamma_i^t = 1[t >= 2D - i]; in BP one update cycle of 2D - 1 steps after the other."""
    found = {}
    for algorithm in REFERENCES:
        frames, targets = stream_of_frames(11)
        update = dense_update(algorithm, 3)
        rows = [update.advance(frames[t : t + 1], targets[t : t + 1]).updates for t in range(11)]
        found[algorithm] = ["".join(map(str, column)) for column in np.array(rows).T]
    assert found["sideways"] == ["00001111111", "00011111111", "00111111111"]
    assert found["bp"] == ["00001000010", "00010000100", "00100001000"]


@pytest.mark.parametrize("algorithm", REFERENCES)
@pytest.mark.parametrize("count", [2, 6])
def test_the_same_numbers_on_several_devices(algorithm, count):
    frames, _ = stream_of_frames()
    devices = [f"CPU:{n}" for n in range(count)]
    one, several = dense_update(algorithm, 6), dense_update(algorithm, 6, devices)
    for update in (one, several):
        update(tf.constant(frames))
    used = {module.layer.kernel.device for module in several.engine.modules}
    assert len(used) == count
    left, right = everything(one), everything(several)
    for name, value in left.items():
        np.testing.assert_allclose(value, right[name], rtol=1e-12, err_msg=name)


def norm_and_dropout(algorithm):
    """Modules with state of every kind: batch norm, dropout, moments."""
    tf.keras.utils.set_random_seed(3)
    layers = [
        tf.keras.Sequential(
            [
                L.Dense(WIDTH, dtype="float64"),
                L.BatchNormalization(momentum=0.75, dtype="float64"),
                L.Dropout(0.25, dtype="float64"),
            ],
            name=f"block{i}",
        )
        for i in range(3)
    ]
    engine = make_stream(algorithm, [SidewaysBlock(x) for x in layers], squared_error)
    engine.build(tf.TensorSpec([BATCH, WIDTH], tf.float64))
    return engine


@pytest.mark.parametrize("algorithm", REFERENCES)
@pytest.mark.parametrize("stop", [3, 13])
def test_a_checkpoint_in_the_middle_of_a_clip_goes_on_as_if_unbroken(algorithm, stop, tmp_path):
    frames, targets = stream_of_frames(stop + STEPS)
    unbroken = StreamUpdate(norm_and_dropout(algorithm), optimizer())
    unbroken.advance(frames[:stop], targets[:stop])
    folder = RunFolder(tmp_path)
    Checkpoints(folder, unbroken).save()

    resumed = StreamUpdate(norm_and_dropout(algorithm), optimizer())
    for module in resumed.engine.modules:  # nothing may be right by chance
        module.layer.set_weights([w + 1 for w in module.layer.get_weights()])
    Checkpoints(folder, resumed).restore()
    for update in (unbroken, resumed):
        update.advance(frames[stop:], targets[stop:])
    left, right = everything(unbroken), everything(resumed)
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)
    assert unbroken.steps.numpy() == resumed.steps.numpy() == stop + STEPS


def collect(engine, frames, targets):
    """Gradients of each step with weights that stand still."""
    state, seeds, found = engine.empty(BATCH), module_seeds(tf.constant([0, 0]), engine.depth), []
    for x, y in zip(frames, targets, strict=True):
        state, result = engine.step(state, tf.constant(x), tf.constant(y), seeds)
        found.append(result.gradients)
    engine.rest(state)
    sums = [[sum(v) for v in zip(*m, strict=True)] for m in zip(*found, strict=True)]
    return sums, [m.layer.get_weights() for m in engine.modules]


def test_with_weights_that_stand_still_it_is_the_episode_engine():
    frames, targets = stream_of_frames()
    sums, after = collect(norm_and_dropout("sideways"), frames, targets)
    episode_modules = norm_and_dropout("sideways").modules
    episode = PipelinedSideways(episode_modules, squared_error)(
        tf.constant(frames), tf.constant(targets), tf.constant([0, 0])
    )
    for i, (left, right) in enumerate(zip(sums, episode.gradients, strict=True), 1):
        for g, h in zip(left, right, strict=True):
            close(g / schedule.gamma(i, 3, STEPS), h, f"module {i}")
    for left, module in zip(after, episode_modules, strict=True):
        for g, h in zip(left, module.layer.get_weights(), strict=True):
            close(g, h, "weights and moving statistics")


def test_a_blocked_cycle_is_bp_on_its_first_frame():
    """Also its moving statistics move once, though a module runs its forward pass twice."""
    frames, targets = stream_of_frames(5)
    targets[:] = targets[0]
    sums, after = collect(norm_and_dropout("bp"), frames, targets)
    modules = norm_and_dropout("bp").modules
    exact = FrameByFrameBackprop(modules, squared_error)(
        tf.constant(frames[:1]), tf.constant(targets[:1]), tf.constant([0, 0])
    )
    for left, right in zip(sums, exact.gradients, strict=True):
        for g, h in zip(left, right, strict=True):
            close(g, h, "gradients")
    for left, module in zip(after, modules, strict=True):
        for g, h in zip(left, module.layer.get_weights(), strict=True):
            close(g, h, "weights and moving statistics")


def test_the_target_is_the_current_frame_or_the_source():
    clip = tf.reshape(tf.range(1.0, 6.0), [5, 1, 1])
    update = dense_update("sideways", 3)
    np.testing.assert_array_equal(update.targets(clip)[:, 0, 0], [1, 2, 3, 4, 5])
    update.source_target = True
    np.testing.assert_array_equal(update.targets(clip)[:, 0, 0], [0, 0, 1, 2, 3])


def test_rates_follow_the_stream_not_an_optimizers_own_count():
    """BP's second update comes at step 2D of its own cycle, with the rate of that step."""
    frames, _ = stream_of_frames(10)
    seen = {}
    for algorithm in REFERENCES:

        def make(steps):
            ramp = ByStep(lambda n: tf.cast(n, tf.float32) / 1024, steps)
            return make_optimizer("sgd", ramp, ByStep(constant(0.0), steps))

        update = dense_update(algorithm, 3, make=make, clip=0.0)
        before, rates = weights_of(3)[2][1], []
        for t in range(10):
            state = update.engine.resting(BATCH)
            seeds = module_seeds(tf.constant([0, 0]), 3)
            frame = tf.constant(frames[t])
            _, result = update.engine.step(state, frame, frame, seeds)
            update.advance(frames[t : t + 1], frames[t : t + 1])
            after = update.engine.modules[2].layer.bias.numpy()
            gradient = result.gradients[2][1].numpy()
            rates.append(round(1024 * np.abs(before - after).sum() / np.abs(gradient).sum(), 6)
                         if gradient.any() else 0)  # fmt: skip
            before = after
        seen[algorithm] = rates
    assert seen["sideways"] == [0, 0, 2, 3, 4, 5, 6, 7, 8, 9]
    assert seen["bp"] == [0, 0, 2, 0, 0, 0, 0, 7, 0, 0]


@pytest.mark.parametrize("algorithm", REFERENCES)
def test_frames_taken_on_simulated_accelerators(algorithm):
    """Sideways takes one frame per computation step, BP one per 2D - 1; modules work at once, or
    one at a time."""
    depth, steps = 3, 11
    timeline = Timeline()
    times = [ModuleTime(0.002, 0.002)] * depth
    devices = [f"CPU:{n}" for n in range(depth)]
    modules = simulated_modules(times, range(depth), devices, timeline)
    engine = make_stream(algorithm, modules, squared_error)
    engine.build(tf.TensorSpec([1, 2], tf.float32))
    update = StreamUpdate(engine, optimizer(rate=0.0, decay=0.0))
    timeline.take()
    update(tf.ones([steps, 1, 2]))
    events = timeline.take()
    entered = sorted({e.frame for e in events if e.module == 1 and not e.backward})
    assert entered == {"sideways": list(range(1, steps + 1)), "bp": [1, 6, 11]}[algorithm]
    overlaps = sum(
        a.device < b.device and a.start < b.end and b.start < a.end for a in events for b in events
    )
    assert bool(overlaps) == (algorithm == "sideways")

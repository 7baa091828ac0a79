"""Training on a stream, L = 1: against a hand-written reference, and in limiting cases.

float64: 1e-10 is far above rounding in networks of this size and far below any wrong frame, mask
or moment.
"""

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf import SidewaysModel
from sideways_tf.bench.simulated import simulated_modules
from sideways_tf.bench.timeline import Timeline
from sideways_tf.engines import (
    BlockedBackprop,
    FrameByFrameBackprop,
    PipelinedSideways,
    StepEngine,
    schedule,
)
from sideways_tf.engines.passes import module_seeds
from sideways_tf.modules import SidewaysBlock
from sideways_tf.plan.times import ModuleTime
from sideways_tf.update_rules import make_optimizer
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


class Constant(tf.keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, value):
        self.value = value

    def __call__(self, step):
        return tf.constant(self.value)


def optimizer(name="adam", rate=RATE, decay=DECAY, clip=CLIP):
    return lambda: make_optimizer(name, Constant(rate), Constant(decay), clip_value=clip)


def dense_model(
    algorithm, depth, placement="one_per_module", devices="CPU:0", make=None, every=1, steps=STEPS
):
    """A model of modules h = tanh(h W + b) with the weights of `weights_of`."""
    layers = [L.Dense(WIDTH, "tanh", dtype="float64", name=f"dense{i}") for i in range(depth)]
    model = SidewaysModel(
        layers, algorithm=algorithm, devices=devices, placement=placement, update_every=every
    )
    return ready(model, make or optimizer(), weights_of(depth), steps)


def ready(model, make, weights=(), steps=STEPS):
    """Compiled and built, with an empty pipe."""
    model.compile(make, squared_error)
    model._build(tf.TensorSpec([BATCH, steps, WIDTH], tf.float64))
    model.optimizers.make(model.modules)
    if isinstance(model.engine, StepEngine):
        model.restart(BATCH)
    for module, values in zip(model.modules, weights, strict=False):
        module.layer.set_weights(values)
    return model


def advance(model, frames, targets):
    """Time-major, as the references are."""
    return model.advance(tf.constant(frames.swapaxes(0, 1)), tf.constant(targets.swapaxes(0, 1)))


def everything(model):
    """All variables by path: weights, buffers, moments, counts."""
    network = model.engine.network
    parts = {
        f"module{i}.{n}": v for i, m in enumerate(model.modules, 1) for n, v in enumerate(m.weights)
    }
    for i, module in enumerate(model.modules, 1):
        parts[f"activation{i}"] = module.activation
        if i > 1:
            parts[f"pseudo_gradient{i}"] = module.pseudo_gradient
        for n, v in enumerate(model.optimizers.each[i - 1].variables()):
            parts[f"optimizer{i}.{n}"] = v
    parts.update(frame=network.place.frame, clock=network.place.clock, steps=model.steps)
    return {name: v.numpy() for name, v in parts.items()}


@pytest.mark.parametrize("algorithm", REFERENCES)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_each_step_is_that_of_the_hand_written_reference(algorithm, depth):
    frames, targets = stream_of_frames()
    expected = REFERENCES[algorithm](weights_of(depth), frames, targets, RATE, DECAY, CLIP).run()
    model = dense_model(algorithm, depth)
    clipped = 0
    for t in range(1, STEPS + 1):
        advance(model, frames[t - 1 : t], targets[t - 1 : t])
        for i, module in enumerate(model.modules, 1):
            where = f"step {t}, module {i}"
            assert model.monitor.updates[i - 1] == expected.due[i][t], where
            close(module.activation, expected.h[i][t], where)
            if i > 1:
                close(module.pseudo_gradient, expected.emitted[i][t], where)
            for found, right in zip(module.layer.weights, expected.weights[i][t], strict=True):
                close(found, right, where)
            flat = np.concatenate([g.ravel() for g in expected.gradients[i][t]])
            np.testing.assert_allclose(  # the monitor is kept in float32
                model.monitor.gradient_norm[i - 1], np.linalg.norm(flat), rtol=1e-5, err_msg=where
            )
            clipped += int((np.abs(flat) > CLIP).any())
    assert clipped
    for each, right in zip(model.optimizers.each, expected.adams.values(), strict=True):
        values = [v.numpy() for v in each.variables()]
        assert values[0] == right.count
        for found, wanted in zip(values[1:], [*right.m, *right.v], strict=True):
            close(found, wanted, "moments")


def close(found, right, where):
    np.testing.assert_allclose(found, right, rtol=1e-10, atol=1e-12, err_msg=where)


@pytest.mark.parametrize("algorithm", REFERENCES)
def test_a_whole_clip_in_one_call_is_its_steps_one_by_one(algorithm):
    frames, _ = stream_of_frames()
    whole, parts = dense_model(algorithm, 3), dense_model(algorithm, 3)
    clips = frames.swapaxes(0, 1)
    for _ in range(2):  # the second clip begins with an empty pipe
        whole.train_on_batch(tf.constant(clips), tf.constant(clips))
        parts.restart(BATCH)
        for t in range(STEPS):
            advance(parts, frames[t : t + 1], frames[t : t + 1])
    left, right = everything(whole), everything(parts)
    for name, value in left.items():
        np.testing.assert_allclose(value, right[name], rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("algorithm", REFERENCES)
def test_a_module_that_is_not_due_is_left_alone(algorithm):
    """Not its weights (they would decay), not its moments, not its count."""
    frames, targets = stream_of_frames()
    depth, model = 3, dense_model(algorithm, 3)
    before = everything(model)
    for t in range(1, STEPS + 1):
        advance(model, frames[t - 1 : t], targets[t - 1 : t])
        due, after = model.monitor.updates.numpy(), everything(model)
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
        model, rows = dense_model(algorithm, 3), []
        for t in range(11):
            advance(model, frames[t : t + 1], targets[t : t + 1])
            rows.append(model.monitor.updates.numpy())
        found[algorithm] = ["".join(map(str, column)) for column in np.array(rows).T]
    assert found["sideways"] == ["00001111111", "00011111111", "00111111111"]
    assert found["bp"] == ["00001000010", "00010000100", "00100001000"]


@pytest.mark.parametrize("algorithm", REFERENCES)
@pytest.mark.parametrize("count", [2, 6])
@pytest.mark.parametrize("every", [1, 4])
def test_the_same_numbers_on_several_devices(algorithm, count, every):
    clips = stream_of_frames()[0].swapaxes(0, 1)
    devices = ",".join(f"CPU:{n}" for n in range(count))
    one = dense_model(algorithm, 6, every=every)
    several = dense_model(algorithm, 6, devices=devices, every=every)
    for model in (one, several):
        model.train_on_batch(tf.constant(clips), tf.constant(clips))
    used = {module.layer.kernel.device for module in several.modules}
    assert len(used) == count
    left, right = everything(one), everything(several)
    for name, value in left.items():
        np.testing.assert_allclose(value, right[name], rtol=1e-12, err_msg=name)


def norm_and_dropout():
    """Layers with state of every kind: batch norm, dropout, moments."""
    tf.keras.utils.set_random_seed(3)
    return [
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


def norm_model(algorithm):
    return ready(
        SidewaysModel(norm_and_dropout(), algorithm=algorithm, update_every=1), optimizer()
    )


@pytest.mark.parametrize("algorithm", REFERENCES)
@pytest.mark.parametrize("stop", [3, 13])
def test_a_checkpoint_in_the_middle_of_a_clip_goes_on_as_if_unbroken(algorithm, stop, tmp_path):
    frames, targets = stream_of_frames(stop + STEPS)
    unbroken = norm_model(algorithm)
    advance(unbroken, frames[:stop], targets[:stop])
    path = tf.train.Checkpoint(model=unbroken).save(str(tmp_path / "ckpt"))

    resumed = norm_model(algorithm)
    for module in resumed.modules:  # nothing may be right by chance
        module.layer.set_weights([w + 1 for w in module.layer.get_weights()])
    tf.train.Checkpoint(model=resumed).restore(path).assert_existing_objects_matched()
    for model in (unbroken, resumed):
        advance(model, frames[stop:], targets[stop:])
    left, right = everything(unbroken), everything(resumed)
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)
    assert unbroken.steps.numpy() == resumed.steps.numpy() == stop + STEPS


def collect(engine, frames, targets):
    """Sums of each step's pseudo-gradients with weights that stand still, and what moved."""
    engine.build(tf.TensorSpec([BATCH, WIDTH], tf.float64))
    network, seeds, found = engine.network, module_seeds(tf.constant([0, 0]), engine.depth), []
    state = network.empty(BATCH)
    for x, y in zip(frames, targets, strict=True):
        state, learnt = engine.scheme.step(network, state, tf.constant(x), tf.constant(y), seeds)
        found.append([each.pseudo_gradients for each in learnt])
    network.rest(state)
    sums = [[sum(v) for v in zip(*m, strict=True)] for m in zip(*found, strict=True)]
    return sums, [m.layer.get_weights() for m in engine.modules]


def blocks():
    return [SidewaysBlock(layer) for layer in norm_and_dropout()]


def test_with_weights_that_stand_still_it_is_the_episode_engine():
    frames, targets = stream_of_frames()
    sums, after = collect(PipelinedSideways(blocks(), squared_error), frames, targets)
    modules = blocks()
    episode = PipelinedSideways(modules, squared_error)(
        tf.constant(frames), tf.constant(targets), tf.constant([0, 0])
    )
    for i, (left, right) in enumerate(zip(sums, episode.pseudo_gradients, strict=True), 1):
        for g, h in zip(left, right, strict=True):
            close(g / schedule.gamma(i, 3, STEPS), h, f"module {i}")
    for left, module in zip(after, modules, strict=True):
        for g, h in zip(left, module.layer.get_weights(), strict=True):
            close(g, h, "weights and moving statistics")


def test_a_blocked_cycle_is_bp_on_its_first_frame():
    """Also its moving statistics move once, though a module runs its forward pass twice."""
    frames, targets = stream_of_frames(5)
    targets[:] = targets[0]
    sums, after = collect(BlockedBackprop(blocks(), squared_error), frames, targets)
    modules = blocks()
    exact = FrameByFrameBackprop(modules, squared_error)(
        tf.constant(frames[:1]), tf.constant(targets[:1]), tf.constant([0, 0])
    )
    for left, right in zip(sums, exact.pseudo_gradients, strict=True):
        for g, h in zip(left, right, strict=True):
            close(g, h, "gradients")
    for left, module in zip(after, modules, strict=True):
        for g, h in zip(left, module.layer.get_weights(), strict=True):
            close(g, h, "weights and moving statistics")


class Ramp(tf.keras.optimizers.schedules.LearningRateSchedule):
    """n / 1024 at update n."""

    def __call__(self, step):
        return tf.cast(step, tf.float32) / 1024

    def get_config(self):
        return {}


def test_rates_follow_the_stream_not_an_optimizers_own_count():
    """BP's second update comes at step 2D of its own cycle, with the rate of that step."""
    frames, _ = stream_of_frames(10)
    seen = {}
    for algorithm in REFERENCES:
        model = dense_model(algorithm, 3, make=tf.keras.optimizers.legacy.SGD(Ramp()))
        before, rates = weights_of(3)[2][1], []
        for t in range(10):
            network, seeds = model.engine.network, module_seeds(tf.constant([0, 0]), 3)
            frame = tf.constant(frames[t])
            state = network.resting(BATCH)
            _, learnt = model.engine.scheme.step(network, state, frame, frame, seeds)
            advance(model, frames[t : t + 1], frames[t : t + 1])
            after = model.modules[2].layer.bias.numpy()
            gradient = learnt[2].pseudo_gradients[1].numpy()
            rates.append(round(1024 * np.abs(before - after).sum() / np.abs(gradient).sum(), 6)
                         if gradient.any() else 0)  # fmt: skip
            before = after
        seen[algorithm] = rates
    assert seen["sideways"] == [0, 0, 2, 3, 4, 5, 6, 7, 8, 9]
    assert seen["bp"] == [0, 0, 2, 0, 0, 0, 0, 7, 0, 0]


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("algorithm", REFERENCES)
def test_rates_inside_a_clip_are_those_of_its_steps(algorithm, every):
    frames, targets = stream_of_frames(12)
    found = []
    for part in (every, 12):
        make = tf.keras.optimizers.legacy.SGD(Ramp())
        model = dense_model(algorithm, 3, make=make, every=every)
        for t in range(0, 12, part):
            advance(model, frames[t : t + part], targets[t : t + part])
        assert int(model.steps) == 12
        found.append([v.numpy() for v in model.trainable_variables])
    for left, right, start in zip(*found, [v for m in weights_of(3) for v in m], strict=True):
        np.testing.assert_array_equal(left, right)
        assert (left != start).any()


@pytest.mark.parametrize("algorithm", REFERENCES)
def test_frames_taken_on_simulated_accelerators(algorithm):
    """Sideways takes one frame per computation step, BP one per 2D - 1; modules work at once, or
    one at a time."""
    depth, steps = 3, 11
    timeline = Timeline()
    times = [ModuleTime(0.002, 0.002)] * depth
    devices = [f"CPU:{n}" for n in range(depth)]
    modules = simulated_modules(times, range(depth), devices, timeline)
    engine = {"sideways": PipelinedSideways, "bp": BlockedBackprop}[algorithm](
        modules, squared_error
    )
    engine.build(tf.TensorSpec([1, 2], tf.float32))

    @tf.function
    def train(clip):
        return engine.learn(clip, clip, tf.constant([0, 0]), 1, lambda i, g: None)[0]

    timeline.take()
    train(tf.ones([steps, 1, 2]))
    events = timeline.take()
    entered = sorted({e.frame for e in events if e.module == 1 and not e.backward})
    assert entered == {"sideways": list(range(1, steps + 1)), "bp": [1, 6, 11]}[algorithm]
    overlaps = sum(
        a.device < b.device and a.start < b.end and b.start < a.end for a in events for b in events
    )
    assert bool(overlaps) == (algorithm == "sideways")

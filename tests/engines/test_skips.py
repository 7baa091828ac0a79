"""Skips: hand-worked networks, the slow reference, and limiting cases, in float64."""

import random

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.engines import make_engine, schedule
from sideways_tf.errors import UserError
from sideways_tf.modules import SidewaysBlock
from sideways_tf.modules.wiring import Wiring, make_wiring
from tests.engines.networks import assert_episodes_equal, random_clip, squared_error
from tests.engines.skip_reference import SkipReference

L = tf.keras.layers
ENGINES = [("sideways", "pipelined"), ("sideways", "time_shifted"), ("bp", "batched")]


def scalars(thetas):
    """y = theta * (sum over the last axis of x), a module for each theta."""
    layers = [L.Dense(1, use_bias=False, dtype="float64") for _ in thetas]
    return layers, [SidewaysBlock(layer) for layer in layers]


def run_scalars(algorithm, engine, thetas, wiring, clip):
    """Loss, outputs and pseudo-gradients with the loss y^t * h: its gradient is the target."""
    layers, modules = scalars(thetas)
    run = make_engine(algorithm, modules, lambda y, h: y * h, engine, wiring=wiring)
    run.build(tf.TensorSpec([1, 1], tf.float64))
    for layer, theta in zip(layers, thetas, strict=True):
        layer.set_weights([np.full(layer.weights[0].shape, theta)])
    clip = tf.constant(np.reshape(clip, [-1, 1, 1]), tf.float64)
    return run(clip, tf.ones_like(clip))


@pytest.mark.parametrize("engine", ["pipelined", "time_shifted"])
def test_three_scalar_modules_with_one_skip_by_hand(engine):
    """theta = 2, 3, 5; x^t = 1, 10, 100, 1000, 10000; module 3 reads h_2 and h_1 of step t - 1.

    step            1     2     3      4      5
    module 1 emits  2     20    200    2000   20000
    module 2 reads        2     20     200    2000
    module 2 emits        6     60     600    6000
    module 3 reads              6+20   60+200 600+2000      from h_2 of frame t - 2, h_1 of t - 1
    module 3 emits              130    1300   13000         loss (130 + 1300 + 13000) / 3
    theta_3                     26     260    2600          mean 962
    sends to both               5      5      5
    theta_2                            5*200  5*2000        mean 5500
    sends                              15     15
    theta_1                                   (15+5)*10000  mean 200000
    At step 4 module 1 has got 5 from module 3 alone: it waits.
    """
    wiring = make_wiring(3, [(1, 3)])
    found = run_scalars("sideways", engine, [2, 3, 5], wiring, [1, 10, 100, 1000, 10000])
    np.testing.assert_allclose(found.loss, 14430 / 3)
    np.testing.assert_allclose(np.ravel(found.outputs), [130, 1300, 13000])
    assert [np.asarray(g[0]).item() for g in found.pseudo_gradients] == [200000, 5500, 962]


@pytest.mark.parametrize("engine", ["pipelined", "time_shifted"])
def test_a_skip_longer_than_the_row_by_hand(engine):
    """theta = 2, 3; x^t = 1, 10, 100, 1000, 10000; module 2 reads h_1 of steps t - 1 and t - 3.

    step            1     2     3      4        5
    module 1 emits  2     20    200    2000     20000
    module 2 reads                     200+2    2000+20
    module 2 emits                     606      6060          loss 3333
    theta_2                            202      2020          mean 1111
    theta_1                                     (3+3)*10000   from step 4, along both edges
    """
    wiring = make_wiring(2, [(1, 2, 3)])
    found = run_scalars("sideways", engine, [2, 3], wiring, [1, 10, 100, 1000, 10000])
    np.testing.assert_allclose(found.loss, 3333)
    np.testing.assert_allclose(np.ravel(found.outputs), [606, 6060])
    assert [np.asarray(g[0]).item() for g in found.pseudo_gradients] == [60000, 1111]


def test_concatenation_by_hand():
    """As the first one, but theta_3 has a weight for each of its two inputs."""
    wiring = make_wiring(3, [(1, 3)], "concat")
    for engine in ("pipelined", "time_shifted"):
        found = run_scalars("sideways", engine, [2, 3, 5], wiring, [1, 10, 100, 1000, 10000])
        theta_1, theta_2, theta_3 = (np.ravel(g[0]) for g in found.pseudo_gradients)
        assert [*theta_1, *theta_2] == [200000, 5500]
        np.testing.assert_allclose(theta_3, [(6 + 60 + 600) / 3, (20 + 200 + 2000) / 3])


def test_bp_unrolled_by_hand():
    """As the first one: z_n = 5 (6 x_{n-1} + 2 x_n), n = 2 .. 4, the newest frame is n."""
    wiring = make_wiring(3, [(1, 3)])
    assert (wiring.latency, wiring.history) == (1, 1)
    found = run_scalars("bp", "batched", [2, 3, 5], wiring, [1, 10, 100, 1000])
    np.testing.assert_allclose(np.ravel(found.outputs), [130, 1300, 13000])
    np.testing.assert_allclose(found.loss, 14430 / 3)
    theta_3 = (26 + 260 + 2600) / 3
    theta_2 = 5 * 2 * (1 + 10 + 100) / 3
    theta_1 = (15 * (1 + 10 + 100) + 5 * (10 + 100 + 1000)) / 3
    got = [np.asarray(g[0]).item() for g in found.pseudo_gradients]
    np.testing.assert_allclose(got, [theta_1, theta_2, theta_3])


def random_case(seed):
    """(makers of layers, wiring, K, B), 3 to 7 modules, outputs of three numbers."""
    draw = random.Random(seed)
    depth = draw.randint(3, 7)
    join = draw.choice(["add", "concat"])
    pairs = [(s, r) for s in range(1, depth) for r in range(s + 1, depth + 1)]
    skips = set()
    for s, r in draw.sample(pairs, draw.randint(1, 3)):
        skips.add((s, r, draw.randint(1 + (r == s + 1), r - s + 2)))
    wiring = make_wiring(depth, sorted(skips), join)
    norms = [draw.random() < 0.3 for _ in range(depth)]

    def layer(norm):
        dense = [L.Dense(3, activation="tanh", dtype="float64")]
        if norm:
            dense.append(L.BatchNormalization(momentum=0.75, dtype="float64"))
        return tf.keras.Sequential(dense)

    make = lambda: [layer(norm) for norm in norms]  # noqa: E731
    return make, wiring, wiring.cycle + draw.randint(0, 2), draw.randint(3, 4)


def engine_with(algorithm, engine, layers, wiring, clip, **kwargs):
    run = make_engine(
        algorithm, [SidewaysBlock(x) for x in layers], squared_error, engine, wiring=wiring,
        **kwargs,
    )  # fmt: skip
    run.build(tf.TensorSpec(clip.shape[1:], clip.dtype))
    return run


def state_of(run):
    return [[w.numpy() for w in m.layer.non_trainable_weights] for m in run.modules]


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.once) for n in range(1, 4))]
)
def test_random_graphs_are_the_reference(seed):
    make, wiring, frames, batch = random_case(seed)
    clip, targets = random_clip([frames, batch, 2], 3, seed)
    episodes, runs = {}, {}
    weights = None
    for name in ENGINES:
        run = engine_with(*name, make(), wiring, clip)
        weights = weights or [m.layer.get_weights() for m in run.modules]
        for module, values in zip(run.modules, weights, strict=True):
            module.layer.set_weights(values)
        episodes[name], runs[name] = run(clip, targets), run
    assert_episodes_equal(episodes[ENGINES[0]], episodes[ENGINES[1]])
    for left, right in zip(state_of(runs[ENGINES[0]]), state_of(runs[ENGINES[1]]), strict=True):
        for a, b in zip(left, right, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10)
    plain = [m.layer for m in runs[ENGINES[0]].modules]
    for layer, values in zip(plain, weights, strict=True):
        layer.set_weights(values)
    given = plain, squared_error, clip, targets, wiring.skips, wiring.join
    assert_episodes_equal(episodes[ENGINES[0]], SkipReference(*given).sideways())
    # Another one: what the first has kept is on no tape.
    assert_episodes_equal(episodes[ENGINES[2]], SkipReference(*given).backprop())


@pytest.mark.parametrize(
    "seed", [4, *(pytest.param(n, marks=pytest.mark.once) for n in range(5, 8))]
)
def test_both_engines_agree_for_random_graphs(seed):
    make, wiring, frames, batch = random_case(seed)
    clip, targets = random_clip([frames, batch, 2], 3, seed)
    runs = [engine_with("sideways", e, make(), wiring, clip) for e in ("pipelined", "time_shifted")]
    for module, twin in zip(*(run.modules for run in runs), strict=True):
        twin.layer.set_weights(module.layer.get_weights())
    assert_episodes_equal(*[run(clip, targets) for run in runs])


@pytest.mark.parametrize("seed", [1])
def test_a_frozen_stream_gives_bps_gradients(seed):
    make, wiring, frames, batch = random_case(seed)
    clip, targets = random_clip([1, batch, 2], 3, seed)
    clip, targets = (tf.repeat(x, frames, 0) for x in (clip, targets))
    runs = [engine_with(*name, make(), wiring, clip) for name in ENGINES]
    for run in runs[1:]:
        for module, twin in zip(runs[0].modules, run.modules, strict=True):
            twin.layer.set_weights(module.layer.get_weights())
    pipelined, shifted, bp = (run(clip, targets) for run in runs)
    for episode in (pipelined, shifted):
        np.testing.assert_allclose(episode.loss, bp.loss, rtol=1e-10)
        for left, right in zip(episode.pseudo_gradients, bp.pseudo_gradients, strict=True):
            for g, h in zip(left, right, strict=True):
                np.testing.assert_allclose(g, h, rtol=1e-10, atol=1e-12)


def test_aligned_skips_are_one_network_of_frames():
    """Frame by frame, batched, and blocked BP: the same frame again, so the same gradients."""
    make, wiring, _, batch = random_case(3)
    aligned = make_wiring(wiring.depth, [(2, 4)], wiring.join, True)
    assert (aligned.history, aligned.latency) == (0, aligned.depth - 1)
    clip, targets = random_clip([1, batch, 2], 3)
    clip, targets = (tf.repeat(x, aligned.cycle, 0) for x in (clip, targets))
    runs = [engine_with("bp", e, make(), aligned, clip) for e in ("frame_by_frame", "batched")]
    runs.append(engine_with("bp", "auto", make(), aligned, clip, stream=True))
    for run in runs[1:]:
        for module, twin in zip(runs[0].modules, run.modules, strict=True):
            twin.layer.set_weights(module.layer.get_weights())
    by_frame, batched, blocked = (run(clip, targets) for run in runs)
    assert_episodes_equal(by_frame, batched)
    shown = len(blocked.outputs)
    assert_episodes_equal(by_frame._replace(outputs=by_frame.outputs[:shown]), blocked)


def test_the_row_alone_is_the_wiring_of_today():
    wiring = Wiring(5)
    assert [wiring.first_forward(i) for i in range(1, 6)] == [1, 2, 3, 4, 5]
    assert [wiring.first_backward(i) for i in range(1, 6)] == [9, 8, 7, 6, 5]
    assert (wiring.cycle, wiring.latency, wiring.history) == (9, 4, 0)
    assert [wiring.gamma(i, 10) for i in range(1, 6)] == [2, 3, 4, 5, 6]


def test_four_modules_with_one_skip():
    """The table of `schedule`; and first steps and gammas are those at which it says so."""
    wiring, rows = make_wiring(4, [(2, 4)]), []
    for module in (4, 3, 2, 1):
        cells = []
        for step in range(1, 9):
            frames = schedule.frames_read(wiring, module, step)
            losses = schedule.losses_met(wiring, module, step)
            words = ["+".join(map(str, each)) or "." for each in (frames, losses)]
            cells.append("/".join(words) if frames else ".")
        rows.append(" ".join(cells))
    assert rows == [
        ". . . 1+2/4 2+3/5 3+4/6 4+5/7 5+6/8",
        ". . 1/. 2/. 3/4 4/5 5/6 6/7",
        ". 1/. 2/. 3/. 4/. 5/4+5 6/5+6 7/6+7",
        "1/. 2/. 3/. 4/. 5/. 6/. 7/4+5 8/5+6",
    ]
    assert [wiring.gamma(i, 8) for i in (4, 3, 2, 1)] == [5, 4, 3, 2]


@pytest.mark.parametrize("seed", range(20))
def test_first_steps_are_those_from_which_all_is_there(seed):
    _, wiring, frames, _ = random_case(seed)
    for module in range(1, wiring.depth + 1):
        steps = range(1, frames + 1)
        works = [t for t in steps if schedule.frames_read(wiring, module, t)]
        learns = [t for t in steps if schedule.losses_met(wiring, module, t)]
        assert works == list(range(wiring.first_forward(module), frames + 1))
        assert learns == list(range(wiring.first_backward(module), frames + 1))
    last = schedule.frames_read(wiring, wiring.depth, frames)
    assert (last[-1], last[0]) == (frames - wiring.latency, last[-1] - wiring.history)


def test_long_delays_move_the_first_steps():
    """2 -> 4 takes five steps: module 4 works from step 2 + 5 on, module 5 from 8 on."""
    wiring = make_wiring(5, [(2, 4, 5)])
    assert [wiring.first_forward(i) for i in range(1, 6)] == [1, 2, 3, 7, 8]
    assert [wiring.first_backward(i) for i in range(1, 6)] == [12, 11, 10, 9, 8]
    assert [wiring.older(i) for i in range(1, 6)] == [0, 4, 0, 0, 0]
    assert (wiring.latency, wiring.history) == (4, 3)


@pytest.mark.parametrize(
    ("skips", "said"),
    [
        ([(1, 2)], "module 2 reads module 1 at a delay of 1 anyway"),
        ([(3, 1)], "does not lead forward"),
        ([(1, 5)], "does not lead forward"),
        ([(1, 3, 0)], "a delay of 0 steps"),
        ([(1, 3), (1, 3, 1)], "there twice"),
        ([(1, 3.0)], "is none"),
        (["13"], "is none"),
    ],
)
def test_skips_that_there_cannot_be_are_refused(skips, said):
    with pytest.raises(UserError, match=said):
        make_wiring(4, skips)


def test_what_cannot_be_run_is_refused():
    _, modules = scalars([1, 1, 1])
    early, aligned = make_wiring(3, [(1, 3)]), make_wiring(3, [(1, 3)], align=True)
    for kwargs, wiring, said in (
        ({"engine": "gpipe"}, aligned, "runs no skips"),
        ({"engine": "frame_by_frame"}, early, "bring together 2 frames"),
        ({"stream": True}, early, "bring together 2 frames"),
    ):
        with pytest.raises(UserError, match=said):
            make_engine("bp", modules, squared_error, wiring=wiring, **kwargs)
    layers = [L.Dense(n, dtype="float64") for n in (2, 3, 3)]
    clip = tf.zeros([9, 1, 2], tf.float64)
    with pytest.raises(UserError, match=r"float64 \[2\].*float64 \[3\].*reads from module 2"):
        engine_with("sideways", "pipelined", layers, early, clip)
    with pytest.raises(UserError, match="11 frames are too few for 5 modules"):
        engine_with(
            "sideways", "auto", [L.Dense(2) for _ in range(5)], make_wiring(5, [(2, 4, 5)]), clip
        ).check_frames(11)

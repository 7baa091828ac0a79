"""`model.live`: frame by frame what `fit` and whole update cycles give, on any devices."""

import numpy as np
import pytest
import tensorflow as tf

import sideways_tf as sw
from sideways_tf.bench.simulated import simulated_modules
from sideways_tf.bench.timeline import Timeline
from sideways_tf.networks.autoencoder import pixel_error
from sideways_tf.plan.times import ModuleTime
from tests.engines.test_stream import everything
from tests.live.fakes import L, frame, made

FRAMES = [frame(n).astype(np.float32) / 255 for n in range(1, 15)]


def same(left, right):
    """Every variable, bit for bit."""
    a, b = everything(left), everything(right)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize(("algorithm", "every"), [("sideways", 1), ("sideways", 7), ("bp", 1)])
def test_frame_by_frame_is_fit_on_the_clip_bit_for_bit(algorithm, every):
    clip = np.stack(FRAMES)[np.newaxis]
    whole, model = (made(algorithm=algorithm, every=every) for _ in range(2))
    whole.fit(clip, clip, batch_size=1, verbose=0)
    live = model.live()
    shown = [live.step(x, x) for x in FRAMES]
    assert [found is None for found in shown] == [True] * 2 + [False] * 12
    np.testing.assert_array_equal(shown[-1], model.modules[-1].activation)
    same(whole, model)
    assert live.t == 14
    assert live.source == (12 if algorithm == "sideways" else 11)
    if every == 1:
        assert live.updates == (1 if algorithm == "sideways" else 0)


def test_dropout_and_moving_statistics_are_those_of_the_clip():
    def network():
        return [
            L.Conv2D(4, 3, padding="same"),
            tf.keras.Sequential([L.BatchNormalization(), L.Dropout(0.5)]),
            L.Conv2D(3, 3, padding="same"),
        ]

    clip = np.stack(FRAMES)[np.newaxis]
    whole, model = made(network()), made(network())
    whole.fit(clip, clip, batch_size=1, verbose=0)
    live = model.live()
    for x in FRAMES:
        live.step(x, x)
    same(whole, model)


def test_bp_by_the_clock_is_blocked_bp_on_the_frames_it_takes():
    """A whole update cycle in a call: no weight below or at a module moves within one."""
    blocked, by_clock = made(algorithm="bp"), made(algorithm="bp")
    scheduled, caller = blocked.live(), by_clock.live(by_clock=True)
    took = []
    for n in range(15):  # three cycles of 2D - 1 = 5 steps; the target comes D - 1 steps late
        scheduled.step(FRAMES[n % 14], FRAMES[max(0, n - 2) % 14])
        took += [n] if scheduled.took else []
    assert took == [0, 5, 10]
    for n in took:
        assert caller.step(FRAMES[n], FRAMES[n]) is not None
        assert (caller.source, caller.delay, caller.updates) == (caller.t, 0, 1)
    pairs = zip(blocked.trainable_variables, by_clock.trainable_variables, strict=True)
    for left, right in pairs:
        # float32: Blocked runs a forward pass twice, in graphs of another order.
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


def test_frames_ahead_are_shown_and_not_learnt_from():
    plain, looking = made(), made()
    one, two = plain.live(), looking.live()
    assert two.look(FRAMES[0]) is None
    assert two.look(FRAMES[1]) is None
    for n in range(8):
        one.step(FRAMES[n], FRAMES[n + 2])
        shown = two.step(FRAMES[n], FRAMES[n + 2], ahead=FRAMES[n + 2])
    same(plain, looking)
    assert (two.looked, two.source, two.t) == (10, 8, 8)
    still = made(rate=0.0)
    three = still.live()
    for n in range(10):
        shown = three.look(FRAMES[n])
    np.testing.assert_allclose(shown, still.run_frames(FRAMES[7][np.newaxis]), rtol=1e-5)


@pytest.mark.parametrize("algorithm", ["sideways", "bp"])
def test_devices_change_no_number(algorithm):
    one, two = made(algorithm=algorithm), made(algorithm=algorithm, devices="CPU:0,CPU:1")
    for model in (one, two):
        live = model.live(by_clock=True)
        for x in FRAMES[:7]:
            live.step(x, x)
    same(one, two)


@pytest.mark.parametrize("algorithm", ["sideways", "bp"])
def test_within_a_call_sideways_works_on_both_devices_and_bp_on_one(algorithm):
    timeline = Timeline()
    times, names = [ModuleTime(0.004, 0.004)] * 4, ["CPU:0", "CPU:1"]
    modules = simulated_modules(times, [0, 0, 1, 1], names, timeline)
    network = [module.layer for module in modules]
    model = sw.SidewaysModel(
        network, algorithm=algorithm, update_every=1, devices="CPU:0,CPU:1",
        placement="one_per_module",
    )  # fmt: skip
    model.compile("sgd", pixel_error)
    live, x = model.live(by_clock=True), np.ones([1, 2], np.float32)
    for _ in range(8):
        live.step(x, x)
    timeline.take()
    live.step(x, x)
    events = timeline.take()
    assert len(events) == 8  # four modules, forward and backward
    overlaps = sum(
        a.device < b.device and a.start < b.end and b.start < a.end for a in events for b in events
    )
    assert bool(overlaps) == (algorithm == "sideways")


def test_a_checkpoint_in_an_open_window_goes_on_bit_for_bit(tmp_path):
    unbroken, stopped = made(every=4), made(every=4)
    live = unbroken.live()
    for x in FRAMES:
        live.step(x, x)
    first = stopped.live()
    saved = sw.SaveAndResume(tmp_path, also={"live": first.place})
    saved.set_model(stopped)
    for x in FRAMES[:10]:  # the third window is open since step 9
        first.step(x, x)
    saved.save()
    again = made(every=4)
    second = again.live()
    saved = sw.SaveAndResume(tmp_path, also={"live": second.place})
    saved.set_model(again)
    saved.restore()
    assert second.t == 10
    for x in FRAMES[10:]:
        second.step(x, x)
    same(unbroken, again)


def test_what_is_wrong_is_said():
    never = sw.SidewaysModel([L.Dense(2)])
    with pytest.raises(sw.UserError, match="not compiled"):
        never.live()
    never.compile("sgd", "mse")
    with pytest.raises(sw.UserError, match="update_every=0"):
        never.live()
    live = made().live()
    with pytest.raises(sw.UserError, match="batch=0"):
        made().live(batch=0)
    with pytest.raises(sw.UserError, match="frame is uint8"):
        live.step(frame(1), FRAMES[0])
    with pytest.raises(sw.UserError, match=r"frame is of shape \[1, 4, 8, 3\]"):
        live.step(FRAMES[0][:4], FRAMES[0])


def test_an_unbuilt_model_and_several_streams():
    tf.keras.utils.set_random_seed(0)
    model = sw.SidewaysModel([L.Dense(3), L.Dense(2)], update_every=1)
    model.compile("sgd", "mse")
    live = model.live(batch=2)
    assert live.step(np.ones([2, 5], np.float32), np.ones([2, 2])) is None
    assert live.step(np.ones([2, 5], np.float32), np.ones([2, 2])).shape == (2, 2)
    assert live.loss > 0
    live.restart()
    assert (live.t, live.source) == (0, 0)

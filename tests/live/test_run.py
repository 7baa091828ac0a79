"""A stream from a fake source: every way to end, what is counted, what is saved."""

import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.live.labels import Labels, Span
from sideways_tf.live.tasks import Classify, Predict
from tests.engines.test_stream import everything
from tests.live.fakes import (
    FakeSource,
    L,
    frame,
    hangs,
    made,
    make_run,
    stops,
)  # fmt: skip

pytestmark = pytest.mark.once


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def saved(folder):
    return tf.train.latest_checkpoint(str(folder)) is not None


def test_at_pace_fast_every_frame_is_taken_and_held_against_what_is_shown():
    run = make_run(FakeSource(12), pace="fast")
    run()
    counts = run.meter.counts
    # Three modules: outputs from step 3, updates of module 1 from step 5.
    assert (counts.frames, counts.taken, counts.dropped) == (12, 12, 0)
    assert (counts.shown, counts.judged, counts.updates) == (10, 10, 8)
    pixels = [frame(n) / 255 for n in range(1, 13)]
    floor = [np.mean((a - b) ** 2) for a, b in zip(pixels, pixels[2:], strict=False)]
    assert counts.floor == pytest.approx(sum(floor))
    assert run.source.closed


def test_blocked_bp_drops_what_its_schedule_drops():
    run = make_run(FakeSource(11), algorithm="bp", pace="fast")
    run()
    counts = run.meter.counts
    assert (counts.taken, counts.dropped, counts.shown, counts.updates) == (3, 8, 2, 2)


@pytest.mark.parametrize("algorithm", ["sideways", "bp"])
def test_stopped_and_gone_on_it_ends_as_an_unbroken_stream(algorithm, tmp_path):
    unbroken = make_run(FakeSource(16), algorithm=algorithm, pace="fast")
    unbroken()
    first = make_run(
        FakeSource(16, _9=interrupt), algorithm=algorithm, pace="fast", folder=tmp_path
    )
    assert first().stopped == signal.SIGINT
    assert first.kept.position == 9
    again = make_run(FakeSource(16), algorithm=algorithm, pace="fast", folder=tmp_path)
    assert not again().stopped
    left, right = (everything(run.live.model) for run in (unbroken, again))
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)
    of = [vars(run.meter.counts) for run in (unbroken, again)]
    for name in ("frames", "taken", "dropped", "shown", "updates", "judged", "error", "floor"):
        assert of[0][name] == of[1][name], name
    assert again.kept.position == 0  # At the end of a file: the next start begins anew.


def test_at_real_pace_what_comes_in_is_taken_or_dropped(tmp_path):
    source = FakeSource(60, rate=200.0)
    run = make_run(source, folder=tmp_path)
    run()
    counts = run.meter.counts
    assert counts.frames == 60 == counts.taken + counts.dropped
    assert counts.updates == counts.taken - 4
    # Two outputs may come while one frame is at hand: it is held against the later one.
    assert 0 < counts.judged <= counts.frames
    # Three modules: from the third frame taken on, each step shows one more.
    assert counts.shown == counts.taken - 2
    assert counts.latency > 0
    assert counts.seconds >= 59 / 200
    assert saved(tmp_path)


@pytest.mark.parametrize("has_clock", [False, True])
def test_a_source_that_stops_is_one_line_and_saved(has_clock, tmp_path):
    run = make_run(FakeSource(20, has_clock=has_clock, _8=stops), folder=tmp_path)
    with pytest.raises(UserError, match="camera 0 stopped after 7 frames"):
        run()
    assert run.meter.counts.frames == 7
    assert saved(tmp_path)
    assert run.source.closed


@pytest.mark.parametrize("at", [1, 6])
def test_a_source_that_hangs_is_given_up(at, tmp_path):
    source = FakeSource(20, has_clock=True, **{f"_{at}": hangs})
    run = make_run(source, folder=tmp_path, stall_seconds=0.2)
    with pytest.raises(UserError, match=r"source=fake has stalled: no frame for 0.2 s"):
        run()
    assert run.meter.counts.frames == at - 1
    assert saved(tmp_path) == (at > 1)
    assert not source.closed  # Its thread is still in it.


def test_a_frame_of_another_size_ends_it(tmp_path):
    source = FakeSource(20, _7=lambda: frame(7, side=12))
    run = make_run(source, folder=tmp_path)
    with pytest.raises(UserError, match="frame 7 is of 12x12 pixels, those before it were of 8x8"):
        run()
    assert saved(tmp_path)


def test_a_loss_that_is_no_number_ends_it_and_is_not_saved(tmp_path):
    run = make_run(FakeSource(10**6), model=made(rate=1e30), folder=tmp_path, pace="fast")
    with pytest.raises(UserError, match="the loss is .*try a lower learning_rate"):
        run()
    assert not saved(tmp_path)


def test_seconds_end_it():
    run = make_run(FakeSource(10**6), pace="waiting", seconds=0.2)
    run()
    assert run.meter.counts.seconds >= 0.2
    assert run.meter.counts.dropped == 0


def test_an_empty_source_is_no_stream(tmp_path):
    run = make_run(FakeSource(0), folder=tmp_path)
    run()
    assert run.meter.counts.frames == 0
    assert not saved(tmp_path)


def test_prediction_is_held_against_the_frame_that_it_is_for():
    """Weights stand still: what is shown for frame t was made from frame t - N - D + 1."""
    model = made(rate=0.0)
    run = make_run(FakeSource(12), model=model, task=Predict(3), pace="fast")
    run()
    counts = run.meter.counts
    pixels = np.stack([frame(n) for n in range(1, 13)]).astype(np.float32) / 255
    outputs = model.run_frames(pixels).numpy()
    ages = 3 + 2
    assert counts.judged == 12 - ages
    error = np.mean((outputs[:-ages] - pixels[ages:]) ** 2, axis=(1, 2, 3)).sum()
    assert counts.error == pytest.approx(error, rel=1e-5)
    floor = np.mean((pixels[:-ages] - pixels[ages:]) ** 2, axis=(1, 2, 3)).sum()
    assert counts.floor == pytest.approx(floor, rel=1e-5)
    assert counts.updates == 12 - 3 - 4  # training begins three frames late


def test_prediction_trains_on_pairs_three_frames_apart():
    run = make_run(FakeSource(12), task=Predict(3), pace="fast")
    run()
    clip = np.stack([frame(n) for n in range(1, 13)]).astype(np.float32)[np.newaxis] / 255
    whole = made()
    whole.fit(clip[:, :-3], clip[:, 3:], verbose=0)
    for left, right in zip(
        run.live.model.trainable_variables, whole.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(left, right)


def test_classes_come_from_the_source_s_own_clock():
    labels = Labels([Span(0.05, 0.5, "late")])
    network = [L.Conv2D(4, 3, activation="relu"), L.GlobalAveragePooling2D(), L.Dense(2)]
    model = made(network)
    model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    run = make_run(FakeSource(12), model=model, task=Classify(labels), pace="fast")
    run()
    counts = run.meter.counts
    # 100 frames a second: 0.05 s begins with frame 6; what is shown there stems from frame 4.
    assert (counts.judged, counts.floor) == (10, 2)
    assert counts.error in range(11)

"""The place of one and the thread before it: nothing queues, what is replaced is counted."""

import time

import pytest

from sideways_tf.errors import UserError
from sideways_tf.live.capture import Capture, Captured, Ended, Place
from tests.live.fakes import frame


def captured(count):
    return (Captured(n, n / 100, frame(n)) for n in range(1, count + 1))


def test_the_newest_is_taken_and_the_others_are_counted():
    place = Place()
    for each in captured(4):
        place.put(each)
    assert place.take(0.0).number == 4
    assert place.dropped() == 3
    assert place.take(0.0) is None
    place.put(next(captured(1)))
    assert (place.dropped(), place.dropped(last=True)) == (0, 1)


def test_the_last_frame_is_taken_before_the_end():
    place = Place()
    place.put(next(captured(1)))
    place.end(Ended())
    assert place.take(0.0).number == 1
    with pytest.raises(Ended):
        place.take(0.0)


def test_taken_and_dropped_are_all_that_came():
    arrived, taken, dropped = [], [], 0
    capture = Capture(captured(40), 200.0, arrived.append)
    capture.start()
    while 40 not in taken:
        found = capture.place.take(5.0)
        dropped += capture.place.dropped()
        taken.append(found.number)
        time.sleep(0.02)  # four frames long
    with pytest.raises(Ended):
        capture.place.take(5.0)
    assert [each.number for each in arrived] == list(range(1, 41))
    assert taken == sorted(set(taken))
    assert 0 < dropped == 40 - len(taken)
    assert capture.latest >= capture.late >= 0


def test_frames_come_at_their_time_and_lateness_does_not_add_up():
    begun, arrived = time.monotonic(), []

    def slow():
        for each in captured(20):
            if each.number == 5:
                time.sleep(0.05)  # as long as five frames
            yield each

    capture = Capture(slow(), 100.0, arrived.append)
    capture.start()
    capture.join(10)
    # None before its time, counted from the start.
    assert all(each.arrived - begun >= each.number / 100 - 1e-3 for each in arrived)
    assert capture.latest >= 0.04


def test_what_fails_in_the_thread_is_raised_where_frames_are_taken():
    def broken():
        yield next(captured(1))
        raise ZeroDivisionError("odd")

    capture = Capture(broken(), 0.0, lambda _: None)
    capture.start()
    capture.join(5)
    assert capture.place.take(1.0).number == 1
    with pytest.raises(UserError, match="cannot be read on"):
        capture.place.take(1.0)


def test_a_thread_that_waits_for_its_time_ends_at_once():
    capture = Capture(captured(5), 0.01, lambda _: None)
    capture.start()
    capture.stop()
    assert not capture.is_alive()

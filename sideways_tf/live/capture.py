"""Frames by the clock: a thread puts the newest into a place of one; nothing queues up.

source   f1   f2   f3   f4   f5   f6
place    f1   f2   f3   f4   f5   f6        f3 and f5 are replaced unseen: they are dropped
trainer  f1---f2--------f4--------f6--
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from sideways_tf.errors import UserError


@dataclass(frozen=True)
class Captured:
    """One frame of the stream.

    Attributes:
      number: from 1, of all that the source has given.
      seconds: on the source's own clock, since its first frame.
      pixels: uint8 [size, size, 3] RGB.
      arrived: `time.monotonic()`; NaN where it came in an earlier start.
    """

    number: int
    seconds: float
    pixels: np.ndarray
    arrived: float = field(default_factory=time.monotonic)


class Ended(Exception):
    """The source has no more frames."""


class Place:
    """A place for one frame, between the thread that brings and the one that takes."""

    def __init__(self) -> None:
        self._dropped = 0
        self._frame: Captured | None = None
        self._end: Exception | None = None
        self._changed = threading.Condition()

    def put(self, frame: Captured) -> None:
        """Bring the newest; the one that is still there is gone."""
        with self._changed:
            self._dropped += self._frame is not None
            self._frame = frame
            self._changed.notify()

    def dropped(self, last: bool = False) -> int:
        """How many were replaced unseen since the last call; `last`: the one that waits is, too."""
        with self._changed:
            if last and self._frame is not None:
                self._dropped, self._frame = self._dropped + 1, None
            found, self._dropped = self._dropped, 0
            return found

    def end(self, reason: Exception) -> None:
        """There are no more; `take` raises `reason` after the last one."""
        with self._changed:
            self._end = reason
            self._changed.notify()

    def take(self, seconds: float) -> Captured | None:
        """The newest frame, waited for; None if none comes in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._end, seconds)
            frame, self._frame = self._frame, None
            if frame is None and self._end is not None:
                raise self._end
            return frame


class Capture(threading.Thread):
    """Brings frames to `place`, by their own clock or by that of a source that has one.

    Args:
      frames: what is brought, stamped anew as it is.
      rate: frames per second, the first after 1 / rate seconds; 0: as they come.
      arrived: called in this thread with each frame, before it is put.

    Attributes:
      place: where they are put.
      late: seconds by which the last frame came after its time.
      latest: the largest of these.
    """

    def __init__(
        self, frames: Iterator[Captured], rate: float, arrived: Callable[[Captured], None]
    ):
        super().__init__(name="capture", daemon=True)  # A read that hangs must not hold the end up.
        self.place, self.late, self.latest = Place(), 0.0, 0.0
        self._frames, self._rate, self._arrived = frames, rate, arrived
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """The thread: until the frames end, or `stop`."""
        try:
            self._bring()
            self.place.end(Ended())
        except UserError as error:
            self.place.end(error)
        except Exception as error:  # It would end unheard in this thread.
            self.place.end(UserError(f"the source cannot be read on ({error!r})"))

    def _bring(self) -> None:
        start = time.monotonic()
        for n, frame in enumerate(self._frames, 1):
            now = time.monotonic()
            if self._rate:
                # Against the start, not the frame before: lateness does not add up.
                due = start + n / self._rate
                if due > now and self._stop_asked.wait(due - now):
                    return
                now = time.monotonic()
                self.late = now - due
                self.latest = max(self.latest, self.late)
            if self._stop_asked.is_set():
                return
            stamped = Captured(frame.number, frame.seconds, frame.pixels, now)
            self._arrived(stamped)
            self.place.put(stamped)

    def stop(self) -> None:
        """End the thread, unless it hangs in the source."""
        self._stop_asked.set()
        self.join(1.0)

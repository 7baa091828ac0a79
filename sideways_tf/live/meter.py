"""What came of a stream: counts, rates, latency, error.

A frame is at hand from its arrival to that of the next one. What is shown at the end of that time
is held against it, whether the network took the frame or it was dropped: a stream that does not
wait asks for every frame. Where no time passes (`--pace=fast`) that is the output of the frame's
own computation step.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass

import numpy as np

from sideways_tf.live.capture import Captured
from sideways_tf.live.tasks import Task


@dataclass
class Counts:
    """Of a stream, over all its starts.

    Attributes:
      frames: that came in; `taken` and `dropped` sum up to them, but for one that waits.
      shown: outputs.
      updates: of module 1.
      judged: frames that something was shown for; `error` and `floor` are sums over them.
      source: number of the frame that was shown last.
      seconds: learnt by the clock; `latency` is a sum over `timed` outputs, in seconds.
    """

    frames: int = 0
    taken: int = 0
    dropped: int = 0
    shown: int = 0
    updates: int = 0
    judged: int = 0
    error: float = 0.0
    floor: float = 0.0
    seconds: float = 0.0
    latency: float = 0.0
    timed: int = 0
    source: int = 0


class Meter:
    """Counts a stream as it goes; `arrived` may be called from another thread than the rest."""

    def __init__(self, task: Task, counts: Counts | None = None):
        self.task, self.counts = task, counts or Counts()
        self._lock = threading.Lock()
        self._at_hand: Captured | None = None
        # What was shown by the last N + 1 steps, and from which frame: the first is due now.
        self._shown: deque[tuple[np.ndarray | None, Captured | None]]
        self._shown = deque(maxlen=task.horizon + 1)
        self._said = (time.monotonic(), Counts(**asdict(self.counts)))

    def arrived(self, frame: Captured) -> None:
        """A new frame is at hand: what is shown is held against the one before."""
        self.judge()
        with self._lock:
            self._at_hand = frame
            self.counts.frames += 1

    def judge(self) -> None:
        """Hold what is shown against the frame at hand, which no longer is."""
        with self._lock:
            frame, self._at_hand = self._at_hand, None
            full = len(self._shown) == self._shown.maxlen
            shown, source = self._shown[0] if full else (None, None)
        if frame is None or shown is None or source is None:
            return
        error, floor = self.task.error(shown, frame), self.task.still(source, frame)
        with self._lock:
            self.counts.judged += 1
            self.counts.error += error
            self.counts.floor += floor

    def stepped(
        self, shown: np.ndarray | None, source: Captured | None, took: bool, updates: int
    ) -> None:
        """A computation step has ended.

        Args:
          shown: what the network shows, without the batch; None: nothing yet.
          source: the frame that it is made from.
          took: whether the step's frame was taken in.
          updates: of module 1.
        """
        now, counts = time.monotonic(), self.counts
        with self._lock:
            self._shown.append((shown, source))
            counts.taken += took
            counts.dropped += not took
            counts.updates += updates
            if source is not None and source.number != counts.source:
                counts.source = source.number
                counts.shown += 1
                if not math.isnan(source.arrived):
                    counts.latency += now - source.arrived
                    counts.timed += 1

    def drop(self, frames: int) -> None:
        """So many were replaced before they were seen."""
        with self._lock:
            self.counts.dropped += frames

    def second(self) -> dict[str, float]:
        """What came since the last call; see `figures`."""
        now = time.monotonic()
        with self._lock:
            counts = Counts(**asdict(self.counts))
        (then, before), self._said = self._said, (now, counts)
        since = {name: value - getattr(before, name) for name, value in asdict(counts).items()}
        return figures(Counts(**{**since, "seconds": now - then}))

    def line(self, seconds: float, last: dict[str, float]) -> str:
        """Counts so far, and the figures of the last second."""
        c = self.counts
        return (
            f"{seconds:6.1f} s  in {c.frames}  dropped {c.dropped}  shown {c.shown}  "
            f"{last['frames_per_second']:.1f} frames/s  latency {_number(last['latency_ms'], 0)} ms"
            f"  error {_number(last['error'], 5)} ({self.task.floor} {_number(last['floor'], 5)})"
        )

    def totals(self) -> str:
        """All in a line."""
        c, all_of = self.counts, figures(self.counts)
        return (
            f"{c.frames} frames in, {c.dropped} dropped, {c.shown} shown, {c.updates} updates of "
            f"module 1, {all_of['frames_per_second']:.1f} frames/s, latency "
            f"{_number(all_of['latency_ms'], 0)} ms, {self.task.floor} "
            f"{_number(all_of['floor'], 5)}, error {_number(all_of['error'], 5)}"
        )


def figures(counts: Counts) -> dict[str, float]:
    """Frames taken a second, latency in ms, mean error and floor; NaN where there is none."""
    return {
        "frames_per_second": counts.taken / max(counts.seconds, 1e-9),
        "latency_ms": 1000 * counts.latency / counts.timed if counts.timed else math.nan,
        "error": counts.error / counts.judged if counts.judged else math.nan,
        "floor": counts.floor / counts.judged if counts.judged else math.nan,
    }


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"

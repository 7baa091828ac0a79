"""When each device worked on which frame. Plain Python, filled while a graph runs."""

from __future__ import annotations

import threading
from typing import NamedTuple


class Event(NamedTuple):
    """One pass of one module.

    Attributes:
      device: number of the device, from 0.
      module: i, from 1.
      backward: whether this is the backward pass.
      frame: the frame tau whose activation the module holds, from 1; below 1: none yet.
      start, end: seconds, on one clock for all devices.
    """

    device: int
    module: int
    backward: bool
    frame: int
    start: float
    end: float


class Timeline:
    """Collects events from the threads that run a graph's kernels."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[Event] = []

    def add(self, event: Event) -> None:
        """Keep one event."""
        with self._lock:
            self._events.append(event)

    def take(self) -> list[Event]:
        """The events since the last call, by their start."""
        with self._lock:
            taken, self._events = self._events, []
        return sorted(taken, key=lambda event: event.start)


def busy_shares(events: list[Event], devices: int) -> list[float]:
    """For each of `devices` the share of the time from first start to last end that it worked."""
    span = max(e.end for e in events) - min(e.start for e in events)
    sums = [0.0] * devices
    for event in events:
        sums[event.device] += event.end - event.start
    return [seconds / span for seconds in sums]

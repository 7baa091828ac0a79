"""A stream from its first frame to its last: paced, learnt from, counted, shown, saved."""

from __future__ import annotations

import dataclasses
import itertools
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from sideways_tf.callbacks import StopOnSignal
from sideways_tf.checkpoints import SaveAndResume
from sideways_tf.errors import UserError
from sideways_tf.live.capture import Capture, Captured, Ended
from sideways_tf.live.kept import Kept
from sideways_tf.live.meter import Meter, figures
from sideways_tf.live.session import Live
from sideways_tf.live.show import Curves, Shows, Window, view
from sideways_tf.live.sources import USUAL_RATE, Source, square
from sideways_tf.live.tasks import Task

PACES = ("real", "fast", "waiting")
_CURVE = 600  # lines of a second that results.json has of the end
_GLANCE = 0.1  # seconds from one look at a signal to the next, where no frame comes


@dataclass
class Options:
    """How a stream is run.

    Attributes:
      pace: "real": by the clock of the source, a file's is `rate`; "fast": every frame as fast as
        it can, BP dropping what its schedule drops; "waiting": the source waits for the network,
        also where BP takes a frame whole.
      size: S, side of the square that is cut from each frame.
      rate: frames per second of a file at real pace; 0: its own.
      stall_seconds: without a frame, after which the source is given up.
      seconds: after which the stream is stopped; 0: never.
      save_seconds: from one save to the next; 0: only at the end.
    """

    pace: str = "real"
    size: int = 240
    rate: float = 0.0
    stall_seconds: float = 10.0
    seconds: float = 0.0
    save_seconds: float = 300.0


@dataclass
class Run:
    """One start of a stream.

    Args:
      saved: where it is saved; None: nowhere.
      kept: as it was restored, if it was.
      shows: a movie, a window; `curves`: TensorBoard.
      say: takes the line of each second.

    Attributes:
      meter: what came of it.
      late, latest: seconds by which the last, and the latest, frame came after its time.
      curve: `figures` of each second, and `at` which it ended; the last ones.
    """

    live: Live
    task: Task
    source: Source
    options: Options
    kept: Kept
    saved: SaveAndResume | None = None
    shows: list[Shows] = field(default_factory=list)
    curves: Curves | None = None
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)

    def __post_init__(self) -> None:
        self.meter = Meter(self.task, self.kept.counts)
        self.late = self.latest = 0.0
        self.curve: deque[dict[str, float | None]] = deque(maxlen=_CURVE)
        self._capture: Capture | None = None
        self._over: float | None = None
        self._started = self._said = self._saved = time.monotonic()
        self._before = self.kept.counts.seconds
        self._picture: tuple[Captured, np.ndarray] | None = None

    def __call__(self) -> StopOnSignal:
        """Run to the end of the source, or until a signal; what was learnt is saved in any case.

        Raises:
          UserError: if the source fails, stalls, or the loss is no number any more.
        """
        with StopOnSignal() as stop:
            try:
                self._learn(stop)
            except Ended:
                self.kept.position = 0
            finally:
                self._end()
        return stop

    @property
    def seconds(self) -> float:
        """Of this start, by the clock: after the first step, which traces."""
        return (self._over or time.monotonic()) - self._started

    # -- the loop ---------------------------------------------------------------------------------

    def _learn(self, stop: StopOnSignal) -> None:
        frames = self._frames()
        take = self._by_clock(frames) if self.source.has_clock else self._waiting(frames)
        first = None
        while first is None and not stop.stopped:
            first = take()
        if first is None:
            return
        # It traces: neither the clock of a file nor that of the figures runs meanwhile.
        self._step(dataclasses.replace(first, arrived=math.nan))
        self.meter.second()
        self._started = self._said = self._saved = time.monotonic()
        if self.options.pace == "real" and not self.source.has_clock:
            take = self._by_clock(frames)
        while not self._stopped(stop):
            frame = take()
            if frame is not None:
                self._step(frame)
            if time.monotonic() - self._said >= 1:
                self._each_second()

    def _stopped(self, stop: StopOnSignal) -> bool:
        closed = any(isinstance(show, Window) and show.closed for show in self.shows)
        over = self.options.seconds and self.seconds >= self.options.seconds
        return bool(stop.stopped or closed or over)

    def _frames(self) -> Iterator[Captured]:
        """The source's squares, from where it stopped."""
        first, rate = self.kept.position, self.source.rate or USUAL_RATE
        begun = time.monotonic()
        for n, frame in enumerate(self.source.frames(first), first):
            seconds = time.monotonic() - begun if self.source.has_clock else n / rate
            yield Captured(n + 1, seconds, square(frame, self.options.size))

    def _waiting(self, frames: Iterator[Captured]) -> Callable[[], Captured | None]:
        def take() -> Captured | None:
            for frame in itertools.islice(frames, 1):
                self.meter.arrived(frame)
                return frame
            raise Ended

        return take

    def _by_clock(self, frames: Iterator[Captured]) -> Callable[[], Captured | None]:
        rate = 0.0 if self.source.has_clock else self.file_rate
        self._capture = capture = Capture(frames, rate, self.meter.arrived)
        capture.start()
        last = time.monotonic()

        def take() -> Captured | None:
            nonlocal last
            frame = capture.place.take(_GLANCE)
            self.meter.drop(capture.place.dropped())
            now = time.monotonic()
            if frame is not None:
                last = now
            elif now - last > self.options.stall_seconds:
                raise UserError(
                    f"--source={self.source.name} has stalled: no frame for "
                    f"{self.options.stall_seconds:g} s (--stall_seconds)"
                )
            return frame

        return take

    @property
    def file_rate(self) -> float:
        """Frames per second at which a file is played."""
        return self.options.rate or self.source.rate or USUAL_RATE

    def _step(self, frame: Captured) -> None:
        kept, live = self.kept, self.live
        kept.frames.append(frame)
        kept.position = frame.number
        pair = self.task.pair(kept.frames)
        if pair.frame is None:
            out, updates = live.look(pair.ahead), 0
        else:
            out = live.step(*pair)
            updates = live.updates
        shown = None if out is None else out.numpy()[0]
        source = kept.frames[-1 - live.delay] if live.delay < len(kept.frames) else None
        self.meter.stepped(shown, source if live.source else None, live.took, updates)
        if shown is not None:
            self._picture = frame, shown
            for show in self.shows:
                show.show(self._view())

    # -- now and then -----------------------------------------------------------------------------

    def _view(self) -> np.ndarray:
        assert self._picture is not None
        frame, shown = self._picture
        c = self.meter.counts
        words = f"{frame.number}  in {c.frames} dropped {c.dropped} shown {c.shown}"
        return view([frame.pixels, *self.task.picture(shown, frame)], words)

    def _each_second(self) -> None:
        self._said = time.monotonic()
        last = self.meter.second()
        plain = {name: None if math.isnan(value) else value for name, value in last.items()}
        self.curve.append({"at": self.seconds, **plain})
        self.say(self.meter.line(self.seconds, last))
        loss = self.live.loss
        if not math.isfinite(loss):
            raise UserError(
                f"step {self.live.t}: the loss is {loss}; what was saved before it is kept; try a "
                "lower learning_rate"
            )
        if self.curves:
            wanted = self.curves.wants_picture and self._picture is not None
            values = {**last, "loss": loss, "dropped": self.meter.counts.dropped}
            self.curves.point(self.live.t, values, self._view() if wanted else None)
        every = self.options.save_seconds
        if every and self._said - self._saved >= every:
            self._saved = self._said
            self._save()

    def _save(self) -> None:
        if self.saved is None or not self.kept.frames:
            return
        weights = [v for v in self.live.model.trainable_variables if v.dtype.is_floating]
        sane = math.isfinite(self.live.loss)
        if not sane or not all(bool(tf.reduce_all(tf.math.is_finite(v))) for v in weights):
            return  # The last save stands.
        self.kept.counts.seconds = self._before + self.seconds
        self.kept.write(self.source.name)
        self.saved.save()

    def _end(self) -> None:
        self._over = time.monotonic()
        if self._capture is not None:
            self._capture.stop()
            self.late, self.latest = self._capture.late, self._capture.latest
            self.meter.drop(self._capture.place.dropped(last=True))
        if self._capture is None or not self._capture.is_alive():
            self.source.close()  # Not under the hands of a thread that hangs in it.
        self.meter.judge()
        self.kept.counts.seconds = self._before + self.seconds
        for show in self.shows:
            show.close()
        if self.curves:
            self.curves.close()
        self._save()

    def results(self) -> dict[str, Any]:
        """The totals, for results.json: `Counts`, and what `figures` makes of them."""
        counts = self.meter.counts
        means = figures(counts)
        means = {"error_mean": means.pop("error"), "floor_mean": means.pop("floor"), **means}
        late = {"late": self.late, "latest": self.latest}
        return {**vars(counts), **means, **late, "curve": list(self.curve)}

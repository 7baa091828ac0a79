"""Progress bars: for people, for log files, for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

from tqdm import tqdm

from sideways_tf.screen import SCREEN

T = TypeVar("T")

SECONDS = {"terminal": 0.1, "log": 60.0, "json": 10.0}  # between two that are shown
TERMINAL = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{unit}{postfix}, {remaining} left"
LOG = "{desc}: {n_fmt} of {total_fmt}{unit}, {percentage:.0f} %{postfix}, {remaining} left"


class Bar(tqdm):
    """A bar on a terminal; in a log file a line now and then, for programs a JSON object."""

    def __init__(self, way: str, **options: Any):
        self.way = way  # First: tqdm shows itself while it is made.
        super().__init__(**options)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Show it, as tqdm asks for it."""
        if self.way == "terminal":
            return super().display(msg, pos)
        if msg is None and self.way == "log":
            print(str(self), file=self.fp, flush=True)
        elif msg is None:
            facts = self.format_dict
            rate = facts["rate"] or (self.n - self.initial) / max(facts["elapsed"], 1e-9)
            left = (self.total - self.n) / rate if rate and self.total else None
            SCREEN.progress(self.desc, self.n, self.total, left and round(left, 1))
        return False


def bar(
    what: str,
    total: int | None,
    unit: str = "",
    done: int = 0,
    keep: bool = False,
    terminal: str = TERMINAL,
    log: str = LOG,
    **options: Any,
) -> Bar:
    """A bar of `total` things, `done` of which were done before, called `unit`: " videos".

    Args:
      keep: whether it stays on a terminal when it ends.
      terminal, log: what it looks like, see tqdm's `bar_format`.
    """
    way = "json" if SCREEN.json else "terminal" if sys.stderr.isatty() else "log"
    return Bar(
        way,
        desc=what,
        initial=done,
        total=total,
        unit=unit,
        leave=keep and way == "terminal",
        bar_format=terminal if way == "terminal" else log,
        dynamic_ncols=way == "terminal",
        mininterval=SECONDS[way],
        miniters=1,
        delay=0 if way == "terminal" else SECONDS[way],
        disable=SCREEN.quiet,
        **options,
    )


def over(things: Iterable[T], what: str, unit: str, total: int | None = None) -> Iterator[T]:
    """`things` one by one, with a bar; `total`: how many, where they do not say so."""
    count = len(things) if total is None and isinstance(things, Sized) else total
    with bar(what, count, unit) as shown:
        for thing in things:
            yield thing
            shown.update()

"""Progress bars, for people and for log files."""

from __future__ import annotations

import sys

from tqdm import tqdm


def bar(what: str, total: int, unit: str, done: int = 0, keep: bool = True) -> tqdm:
    """A bar of `total` units, `done` of which were done before; a line a minute in a log file."""
    shown = sys.stderr.isatty()
    return tqdm(
        desc=what,
        initial=done,
        total=total,
        unit=unit,
        leave=keep,
        dynamic_ncols=shown,
        mininterval=0.1 if shown else 60.0,
    )

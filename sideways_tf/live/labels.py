"""What is seen when, from a file of time spans: start,end,label in seconds of the source."""

from __future__ import annotations

import bisect
import csv
from pathlib import Path
from typing import NamedTuple

from sideways_tf.errors import UserError

NOTHING = "nothing"  # the class of frames that no span covers
_HEADER = ["start", "end", "label"]


class Span(NamedTuple):
    """`label` holds from `start` on, up to `end`, in seconds."""

    start: float
    end: float
    label: str


class Labels:
    """The class of each moment.

    Attributes:
      names: of the classes: `NOTHING`, then the labels by name.
    """

    def __init__(self, spans: list[Span]):
        self._spans = sorted(spans)
        self._starts = [span.start for span in self._spans]
        self.names = [NOTHING, *sorted({span.label for span in spans} - {NOTHING})]

    def at(self, seconds: float) -> int:
        """The number of the class."""
        n = bisect.bisect_right(self._starts, seconds) - 1
        covered = n >= 0 and seconds < self._spans[n].end
        return self.names.index(self._spans[n].label) if covered else 0


def read_labels(path: str) -> Labels:
    """The spans of a CSV file: start,end,label; a first line with these words may be there.

    Raises:
      UserError: naming the line, if it is no such file, or spans overlap.
    """
    try:
        with Path(path).expanduser().open(newline="", encoding="utf-8-sig") as file:
            rows = [(n, row) for n, row in enumerate(csv.reader(file), 1) if row]
    except (OSError, ValueError) as error:
        raise UserError(f"--labels={path}: cannot be read ({error})") from None
    if rows and [word.strip().lower() for word in rows[0][1]] == _HEADER:
        rows = rows[1:]
    spans = [_span(path, n, row) for n, row in rows]
    if not spans:
        raise UserError(f"--labels={path} holds no span: give lines start,end,label")
    order = sorted(spans)
    for before, after in zip(order, order[1:], strict=False):
        if after.start < before.end:
            raise UserError(
                f"--labels={path}: {before.label} until {before.end:g} s and {after.label} from "
                f"{after.start:g} s overlap: one label at a time"
            )
    return Labels(spans)


def _span(path: str, line: int, row: list[str]) -> Span:
    try:
        start, end, label = row
        found = Span(float(start), float(end), label.strip())
        right = 0 <= found.start < found.end < float("inf") and found.label
    except ValueError:
        right = False
    if not right:
        raise UserError(
            f"--labels={path}, line {line}: '{','.join(row)}' is no span; give start,end,label, "
            "in seconds, the end after the start"
        )
    return found

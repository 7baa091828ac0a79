"""A table as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

NOT_RUN = "not run"


def spread(values: Sequence[float], digits: int, scale: float = 1.0) -> str:
    """Mean, and standard deviation (n - 1) where there are several, of `scale` times `values`."""
    if not values:
        return NOT_RUN
    text = f"{scale * statistics.fmean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ± {scale * statistics.stdev(values):.{digits}f}"
    return text


@dataclass(frozen=True)
class Table:
    """Cells as they are printed; every row as long as the header.

    Attributes:
      left_out: a line for each result that is not in the table, and why.
      below: lines under it.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_out: Sequence[str] = ()
    below: Sequence[str] = ()

    def markdown(self) -> str:
        """The title, the table with aligned columns, and the lines below."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[n]) for line in lines) for n in range(len(self.header))]
        text = [
            f"| {' | '.join(c.ljust(w) for c, w in zip(line, widths, strict=True))} |"
            for line in lines
        ]
        text.insert(1, f"|{'|'.join('-' * (width + 2) for width in widths)}|")
        under = ["", *self.below] if self.below else []
        return "\n".join([*([self.title, ""] if self.title else []), *text, *under])

    def csv(self) -> str:
        """Header and rows."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.header, *self.rows])
        return out.getvalue()

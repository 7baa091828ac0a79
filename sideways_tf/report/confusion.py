"""Which class is taken for which: a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sideways_tf.report.accuracy import Accuracy
from sideways_tf.report.table import Table
from sideways_tf.whole_file import write_whole

NUMBERED = 30  # classes; with more there is no room for a number in each cell


def matrix(report: Accuracy, classes: int) -> np.ndarray:
    """Videos by their class (rows) and by what they are taken for (columns): int64 [C, C]."""
    counts = np.zeros([classes, classes], np.int64)
    for (label, choice), videos in report.choices.items():
        counts[label, choice] = videos
    return counts


def table(counts: np.ndarray, names: Sequence[str]) -> Table:
    """All classes: the first column is the true class, the header what videos are taken for."""
    rows = [[name, *map(str, row)] for name, row in zip(names, counts, strict=True)]
    return Table("", ["true class", *names], rows)


def picture(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """Of the classes that have a video or are taken for one; the share of each row is its shade."""
    seen = np.flatnonzero(counts.sum(0) + counts.sum(1))
    counts, names = counts[np.ix_(seen, seen)], [names[int(n)] for n in seen]
    side = 2.5 + max(2.5, (0.38 if len(names) <= NUMBERED else 0.16) * len(names))
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = 9 if len(names) <= NUMBERED else 6
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel("taken for")
    axes.set_ylabel("class of the video")
    if len(names) <= NUMBERED:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                shade = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=shade, size=size)
    bar = figure.colorbar(image, ax=axes, label="share of the class's videos", shrink=0.8)
    bar.locator = MaxNLocator(5)
    return figure


def write_confusion(report: Accuracy, names: Sequence[str], stem: Path) -> list[Path]:
    """Write `stem`.csv and `stem`.png; OSError where that cannot be."""
    counts = matrix(report, len(names))
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_suffix(".csv"), stem.with_suffix(".png")]
    write_whole(paths[0], table(counts, names).csv())
    picture(counts, names).savefig(paths[1], dpi=110)
    return paths

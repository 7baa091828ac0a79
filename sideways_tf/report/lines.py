"""Curves of several runs as one line of a figure: their mean and range."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from sideways_tf.errors import UserError
from sideways_tf.report.runs import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Line(NamedTuple):
    """By iteration: mean, lowest and highest value of several runs; [n] each."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def combine(curves: Sequence[Curve], points: int) -> Line | None:
    """At each iteration, mean and range over the curves that have it; None if there are no points.

    Args:
      points: about so many are drawn at most: neighbours are averaged first, curve by curve.
    """
    steps = np.unique(np.concatenate([np.zeros(0, np.int64), *(curve.steps for curve in curves)]))
    if not len(steps):
        return None
    rows = np.full([len(curves), len(steps)], np.nan)
    for row, curve in zip(rows, curves, strict=True):
        row[np.searchsorted(steps, curve.steps)] = curve.values
    width = math.ceil(len(steps) / points)
    rows, middle = _averaged(rows, width), _averaged(steps[np.newaxis], width)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Where every curve is NaN, so are mean and range.
        return Line(middle, np.nanmean(rows, 0), np.nanmin(rows, 0), np.nanmax(rows, 0))


def _averaged(rows: np.ndarray, width: int) -> np.ndarray:
    """Means of `width` neighbours in each row, of those that are not NaN: [n, m / width]."""
    spare = -rows.shape[1] % width
    padded = np.pad(rows.astype(np.float64), [(0, 0), (0, spare)], constant_values=np.nan)
    apart = padded.reshape(len(rows), -1, width)
    known = ~np.isnan(apart)
    with np.errstate(invalid="ignore"):
        return np.where(known, apart, 0).sum(-1) / known.sum(-1)


def mean_of_tags(curves: dict[str, Curve], prefix: str) -> Curve | None:
    """The mean over all tags that start with `prefix`: over modules; None if there is none."""
    found = [curve for tag, curve in curves.items() if tag.startswith(prefix)]
    line = combine(found, points=10**9)
    return Curve(line.steps.astype(np.int64), line.mean) if line else None


def draw(axes: Axes, line: Line | None, label: str, color: Any, **style: Any) -> None:
    """The mean as a line, the range as a shade."""
    if line is None:
        return
    axes.plot(line.steps, line.mean, label=label, color=color, **{"linewidth": 1.0, **style})
    axes.fill_between(line.steps, line.low, line.high, color=color, alpha=0.15, linewidth=0)


def finish(axes: Axes, percent: bool = False) -> None:
    """Round iterations, a light grid, and accuracies in %."""
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if percent:
        axes.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))  # Not 12.5 as "12 %".
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)


def add_legend(figure: Figure) -> None:
    """One for all panels, below them."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    # In as many columns as fit: an inch holds 18 letters of this size; a key takes the room of 8.
    column = max(map(len, handles), default=0) + 8
    ncols = min(4, max(1, int(figure.get_figwidth() * 18 / column)))
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=ncols, fontsize=8
    )


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `stem`.png and .svg.

    Raises:
      UserError: if the folder cannot be written.
    """
    paths = [stem.with_suffix(suffix) for suffix in (".png", ".svg")]
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for path in paths:
            # Without a date, so that the same runs give the same file.
            metadata = {"Date": None} if path.suffix == ".svg" else None
            figure.savefig(path, dpi=110, metadata=metadata)
    except OSError as error:
        raise UserError(f"{stem}: cannot be written ({error}); name another folder") from None
    return paths

"""Figures 4 and 5: how BP and Sideways train, column by column; and how far gradients agree."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import matplotlib
from matplotlib.figure import Figure

from sideways_tf.report.lines import add_legend, combine, draw, finish, mean_of_tags
from sideways_tf.report.runs import SEARCHED, Drawn, Run, classifiers, draw_alike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALGORITHMS = {"bp": "BP", "sideways": "Sideways"}
MODELS = {
    "vgg8": "VGG-8", "simple_cnn": "Simple-CNN",
    "vgg8_skip": "VGG-8 with skips", "simple_cnn_skip": "Simple-CNN with skips",
    "simple_cnn_norm": "Simple-CNN with batch norm",
}  # fmt: skip
# A family of colours for each learning rate, a shade for each weight decay, as in Figure 4.
FAMILIES = ("autumn", "winter", "summer", "cool")
TAGS = (
    "train/fit/loss", "train/fit/frame_accuracy", "test/fit/video_accuracy",
    "train/gradient_mean/", "train/gradient_norm/",
    "train/gradient_cosine/", "train/gradient_norm_ratio/",
)  # fmt: skip
FIGURE_4 = {
    "loss (nats)": "train/fit/loss",
    "mean of gradients": "train/gradient_mean/",
    "L2 norm of gradients": "train/gradient_norm/",
}
FIGURE_5 = {
    "accuracy, training clips": "train/fit/frame_accuracy",
    "accuracy, test videos": "test/fit/video_accuracy",
}
AGREEMENT = {
    "cosine to the true gradient": "train/gradient_cosine/",
    "norm / true gradient's norm": "train/gradient_norm_ratio/",
}


class Column(NamedTuple):
    """A column of a figure: the runs of one model and algorithm."""

    title: str
    runs: list[Drawn]


def model_words(run: Run) -> str:
    """VGG-8 + dropout 0.9, say."""
    name = MODELS.get(run.config.model, run.config.model)
    return f"{name} + dropout {run.config.dropout:g}" if run.config.dropout else name


def columns(runs: Sequence[Run]) -> tuple[list[Column], list[str]]:
    """By data set, model and algorithm, in the paper's order; and a line for each remark.

    Within a column, runs differ in learning rate, weight decay, seed and split.
    """

    def place(run: Run) -> tuple[Any, ...]:
        c = run.config
        model, algorithm = list(MODELS).index(c.model), list(ALGORITHMS).index(c.algorithm)
        return c.dataset, model, c.dropout, algorithm

    kept, remarks = classifiers(runs)
    ordered = sorted(kept, key=place)
    several = len({run.config.dataset for run in ordered}) > 1
    found = []
    for _, group in itertools.groupby(ordered, key=place):
        drawn, more = draw_alike(list(group), SEARCHED, TAGS)
        remarks += more
        first = drawn[0].run
        title = f"{model_words(first)}, {ALGORITHMS[first.config.algorithm]}"
        found.append(Column(f"{first.config.dataset}\n{title}" if several else title, drawn))
    return found, remarks


def colours(settings: Sequence[tuple[float, float]]) -> dict[tuple[float, float], Any]:
    """A colour for each (learning rate, weight decay)."""
    found = {}
    rates = sorted({rate for rate, _ in settings})
    for family, rate in zip(itertools.cycle(FAMILIES), rates, strict=False):
        decays = sorted({decay for r, decay in settings if r == rate})
        for n, decay in enumerate(decays):
            found[rate, decay] = matplotlib.colormaps[family](0.75 * n / max(1, len(decays) - 1))
    return found


Panel = Callable[["Axes", Column, str], None]


def by_setting(found: Sequence[Column], points: int) -> Panel:
    """Draws a line for each learning rate and weight decay: mean and range over its runs."""
    chosen = colours([drawn.run.setting for column in found for drawn in column.runs])

    def panel(axes: Axes, column: Column, prefix: str) -> None:
        for (rate, decay), colour in chosen.items():
            same = [d.curves for d in column.runs if d.run.setting == (rate, decay)]
            curves = [mean for each in same if (mean := mean_of_tags(each, prefix))]
            line = combine(curves, points)
            style = {"marker": "."} if line and len(line.steps) < 40 else {}
            label = f"rate {rate:g}{f', decay {decay:g}' if decay else ''}"
            draw(axes, line, label, colour, **style)

    return panel


def by_module(points: int) -> Panel:
    """Draws a line for each module: mean and range over all runs of the column."""

    def panel(axes: Axes, column: Column, prefix: str) -> None:
        tags = {tag for drawn in column.runs for tag in drawn.curves if tag.startswith(prefix)}
        depth = len(tags)
        for i in range(1, depth + 1):
            tag = f"{prefix}module_{i}"
            line = combine([d.curves[tag] for d in column.runs if tag in d.curves], points)
            colour = matplotlib.colormaps["viridis"]((i - 1) / max(1, depth))
            draw(axes, line, f"module {i}", colour, marker=".")

    return panel


def grid(found: Sequence[Column], rows: dict[str, str], panel: Panel, free_axes: bool) -> Figure:
    """A figure of `found` by `rows` (what is on the y-axis -> prefix of its tags)."""
    figure = Figure(figsize=(1.0 + 3.2 * len(found), 1.0 + 2.3 * len(rows)), layout="constrained")
    sharey: Literal["row", "none"] = "none" if free_axes else "row"
    all_axes = figure.subplots(len(rows), len(found), squeeze=False, sharex="col", sharey=sharey)
    for row, (label, prefix) in zip(all_axes, rows.items(), strict=True):
        for axes, column in zip(row, found, strict=True):
            panel(axes, column, prefix)
            finish(axes, percent="accuracy" in label)
        row[0].set_ylabel(label, fontsize=9)
    for axes, column in zip(all_axes[0], found, strict=True):
        axes.set_title(column.title, fontsize=10)
    for axes in all_axes[-1]:
        axes.set_xlabel("iteration", fontsize=9)
    add_legend(figure)
    return figure


def figures(found: Sequence[Column], points: int, free_axes: bool = False) -> dict[str, Figure]:
    """By name: figure4, figure5, and agreement if any run was diagnosed.

    Args:
      points: about so many are drawn of a curve.
      free_axes: each panel has a y-axis of its own, as in the paper's Figure 4; else those of a row
        share one.
    """
    setting = by_setting(found, points)
    made = {
        "figure4": grid(found, FIGURE_4, setting, free_axes),
        "figure5": grid(found, FIGURE_5, setting, free_axes),
    }
    tags = (tag for column in found for drawn in column.runs for tag in drawn.curves)
    if any(tag.startswith(tuple(AGREEMENT.values())) for tag in tags):
        made["agreement"] = grid(found, AGREEMENT, by_module(points), free_axes)
    return made

"""Figures 4 and 5: how BP and Sideways train, column by column; and how far gradients agree."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from sideways_tf.report.lines import combine, draw, mean_of_tags
from sideways_tf.report.runs import SEARCHED, Curve, Run, alike, read_curves, unfinished

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALGORITHMS = {"bp": "BP", "sideways": "Sideways"}
MODELS = {"vgg8": "VGG-8", "simple_cnn": "Simple-CNN"}
# A family of colours for each learning rate, a shade for each weight decay, as in Figure 4.
FAMILIES = ("autumn", "winter", "summer", "cool")
TAGS = (
    "train/loss", "train/accuracy", "train/gradient_mean/", "train/gradient_norm/",
    "test/video_accuracy", "train/cosine/", "train/norm_ratio/",
)  # fmt: skip
FIGURE_4 = {
    "loss (nats)": "train/loss",
    "mean of gradients": "train/gradient_mean/",
    "L2 norm of gradients": "train/gradient_norm/",
}
FIGURE_5 = {"training accuracy": "train/accuracy", "test accuracy": "test/video_accuracy"}
AGREEMENT = {
    "cosine to the true gradient": "train/cosine/",
    "norm / true gradient's norm": "train/norm_ratio/",
}


class Drawn(NamedTuple):
    """A run with its curves."""

    run: Run
    curves: dict[str, Curve]


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
        return (
            c.dataset,
            list(MODELS).index(c.model),
            c.dropout,
            list(ALGORITHMS).index(c.algorithm),
        )

    remarks = [
        f"{run.path}: --model={run.config.model} is no classifier, left out"
        for run in runs
        if run.config.model not in MODELS
    ]
    ordered = sorted((run for run in runs if run.config.model in MODELS), key=place)
    several = len({run.config.dataset for run in ordered}) > 1
    found = []
    for _, group in itertools.groupby(ordered, key=place):
        kept, others = alike(list(group), SEARCHED)
        drawn = [Drawn(run, read_curves(run, TAGS)) for run in kept]
        remarks += others + [note for d in drawn if (note := unfinished(*d))]
        first = kept[0]
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
            draw(axes, line, f"rate {rate:g}, decay {decay:g}", colour, **style)

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


def grid(found: Sequence[Column], rows: dict[str, str], panel: Panel, same_scale: bool) -> Figure:
    """A figure of `found` by `rows` (what is on the y-axis -> prefix of its tags)."""
    figure = Figure(figsize=(1.0 + 3.2 * len(found), 1.0 + 2.3 * len(rows)), layout="constrained")
    sharey: Literal["row", "none"] = "row" if same_scale else "none"
    all_axes = figure.subplots(len(rows), len(found), squeeze=False, sharex="col", sharey=sharey)
    for n, (label, prefix) in enumerate(rows.items()):
        for axes, column in zip(all_axes[n], found, strict=True):
            panel(axes, column, prefix)
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.tick_params(labelsize=8)
            axes.grid(alpha=0.3)
            if n == 0:
                axes.set_title(column.title, fontsize=10)
            if n == len(rows) - 1:
                axes.set_xlabel("iteration", fontsize=9)
        all_axes[n][0].set_ylabel(label, fontsize=9)
    add_legend(figure)
    return figure


def add_legend(figure: Figure) -> None:
    """One for all panels, below them."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)


def has(found: Sequence[Column], prefixes: Sequence[str]) -> bool:
    """Whether any run has any such curve."""
    curves = (tag for column in found for drawn in column.runs for tag in drawn.curves)
    return any(tag.startswith(tuple(prefixes)) for tag in curves)


def figures(found: Sequence[Column], points: int) -> dict[str, Figure]:
    """By name: figure4, figure5, and agreement if any run was diagnosed."""
    setting = by_setting(found, points)
    made = {
        # The paper's has limits of their own, too: one unstable column would flatten the others.
        "figure4": grid(found, FIGURE_4, setting, same_scale=False),
        "figure5": grid(found, FIGURE_5, setting, same_scale=True),
    }
    if has(found, list(AGREEMENT.values())):
        made["agreement"] = grid(found, AGREEMENT, by_module(points), same_scale=True)
    return made

"""Figure 6: accuracy at several frame rates, for BP and Sideways, at several learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from sideways_tf.report.dynamics import ALGORITHMS
from sideways_tf.report.lines import add_legend, combine, draw, finish
from sideways_tf.report.paired import NAME, paired_words
from sideways_tf.report.runs import Drawn, Run, classifiers, draw_alike
from sideways_tf.report.table import Table
from sideways_tf.report.table1 import accuracy_words

# The paper's colours for 2 .. 6.
COLOURS = {
    1: "black", 2: "red", 3: "olive", 4: "green", 5: "blue", 6: "violet", 8: "darkorange",
    16: "saddlebrown",
}  # fmt: skip
COLUMNS = {"sideways": "Sideways", "bp": "BP"}
# Tag, what it adds to the label, look.
LINES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("train/fit/frame_accuracy", "", {}),
    ("test/fit/video_accuracy", ", test", {"linestyle": "--", "marker": "."}),
)


def select(runs: Sequence[Run]) -> tuple[list[Drawn], list[str]]:
    """Runs that differ in algorithm, stride, learning rate, seed and split alone; and remarks."""
    kept, remarks = classifiers(runs)
    drawn, more = draw_alike(
        kept, {"algorithm", "stride", "learning_rate"}, [tag for tag, *_ in LINES]
    )
    return drawn, remarks + more


def same(drawn: Sequence[Drawn], algorithm: str, rate: float, stride: int) -> list[Drawn]:
    """The repetitions of one experiment."""
    wanted = {"algorithm": algorithm, "learning_rate": rate, "stride": stride}
    return [d for d in drawn if wanted.items() <= d.run.recipe.items()]


def axes_of(drawn: Sequence[Drawn]) -> tuple[list[float], list[int]]:
    """Learning rates, from the lowest (the paper's favourable one) on, and strides."""
    configs = [d.run.config for d in drawn]
    return sorted({c.learning_rate for c in configs}), sorted({c.stride for c in configs})


def figure(drawn: Sequence[Drawn], points: int) -> Figure:
    """Rows: learning rates; columns: Sideways, BP; a colour is a stride.

    A line is the accuracy on training clips, a dashed one with points that on test videos.
    """
    rates, strides = axes_of(drawn)
    picture = Figure(figsize=(8, 1 + 2.7 * len(rates)), layout="constrained")
    panels = picture.subplots(len(rates), 2, squeeze=False, sharex=True, sharey=True)
    for row, rate in zip(panels, rates, strict=True):
        for axes, (algorithm, name) in zip(row, COLUMNS.items(), strict=True):
            for stride in strides:
                runs = same(drawn, algorithm, rate, stride)
                for tag, words, style in LINES:
                    line = combine([d.curves[tag] for d in runs if tag in d.curves], points)
                    colour = COLOURS.get(stride, "grey")
                    draw(axes, line, f"stride {stride}{words}", colour, **style)
            axes.set_title(f"{name}, learning rate {rate:g}", fontsize=10)
            axes.set_ylim(0, 1)
            finish(axes, percent=True)
        row[0].set_ylabel("accuracy", fontsize=9)
    for axes in panels[-1]:
        axes.set_xlabel("iteration", fontsize=9)
    add_legend(picture)
    return picture


def table(drawn: Sequence[Drawn]) -> Table:
    """Test accuracy of videos by stride: mean and deviation over finished runs, in %.

    And the difference between runs of equal seeds.
    """
    rates, strides = axes_of(drawn)
    rows = []
    for rate in rates:
        for algorithm, name in ALGORITHMS.items():
            found = [same(drawn, algorithm, rate, stride) for stride in strides]
            tested = [[d.run.results for d in runs if d.run.results] for runs in found]
            cells = [[each["test_video_accuracy"] for each in results] for results in tested]
            rows.append([name, f"{rate:g}", *map(accuracy_words, cells)])
        rows.append([NAME, f"{rate:g}", *(_apart(drawn, rate, stride) for stride in strides)])
    header = ["algorithm", "learning rate", *(f"stride {stride}" for stride in strides)]
    return Table("Test accuracy of videos, in % (Figure 6)", header, rows)


def _apart(drawn: Sequence[Drawn], rate: float, stride: int) -> str:
    bp, sideways = ([d.run for d in same(drawn, a, rate, stride)] for a in ("bp", "sideways"))
    return paired_words(bp, sideways, "test_video_accuracy", 1, scale=100)

"""Reconstruction error over stream frames, BP and Sideways, as a picture.

    sideways plot errors --results_dir=runs --dataset=moving_objects --output=errors.png

One line a run, one colour a setting: its algorithm, learning rate, and means against lateness.
Dashed: the floor of a perfect auto-encoder.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from sideways_tf.errors import UserError
from sideways_tf.report.dynamics import ALGORITHMS
from sideways_tf.report.lines import add_legend, finish
from sideways_tf.report.remarks import say
from sideways_tf.report.runs import Run
from sideways_tf.report.table3 import depth_words, ways
from sideways_tf.runs import options
from sideways_tf.runs.read import find_runs

FLAGS, define = options.new_flags()
define("results_dir", "runs", "folder of runs, or one above it")
define("dataset", "moving_objects", "which runs to draw")
define("epochs", 0, "only runs of so many epochs; 0: all", low=0)
define("output", "errors.png", "the picture, .png or .svg")
# Of an algorithm's settings, the first one its floor's, too; again from the start where more are.
COLOURS = {
    "bp": ["tab:orange", "tab:red", "tab:brown"],
    "sideways": ["tab:blue", "tab:green", "tab:purple", "tab:cyan"],
}


def main() -> None:
    """Draw the runs of the flags."""
    found, remarks = find_runs([FLAGS.results_dir])
    say(remarks)
    runs = [run for run in found if _wanted(run)]
    if not runs:
        raise UserError(
            f"--results_dir={FLAGS.results_dir} holds no auto-encoding run on {FLAGS.dataset}"
            f"{f' of {FLAGS.epochs} epochs' if FLAGS.epochs else ''}: train first"
        )
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    colours = _colours(runs)
    for run in runs:
        _draw(axes, run, colours[_setting(run)])
    for axis, title in zip(axes, ("against the current frame", "against its source"), strict=True):
        axis.set(title=f"output shown {title}", xlabel="stream frames", yscale="log")
        finish(axis)
    axes[0].set_ylabel("mean squared error")
    add_legend(figure)
    figure.savefig(FLAGS.output, dpi=110)


def _wanted(run: Run) -> bool:
    c = run.config
    ours = c.autoencodes and c.dataset == FLAGS.dataset and FLAGS.epochs in (0, c.epochs)
    return bool(run.results and ours)


def _setting(run: Run) -> str:
    """What the runs of one colour have in common."""
    c = run.config
    parts = [ALGORITHMS[c.algorithm], f"learning rate {c.learning_rate:g}"]
    return ", ".join([*parts, *depth_words(run), *ways(run)])


def _colours(runs: Sequence[Run]) -> dict[str, str]:
    """A colour for each setting, the shortest name, which departs least, first."""
    found: dict[str, str] = {}
    for algorithm, colours in COLOURS.items():
        names = {_setting(run) for run in runs if run.config.algorithm == algorithm}
        ordered = sorted(names, key=lambda name: (len(name.split(", ")), name))
        found.update(zip(ordered, itertools.cycle(colours), strict=False))
    return found


def _draw(axes: Any, run: Run, colour: str) -> None:
    """One run in both panels: the error of Table 3, and that without latency and drops."""
    algorithm, points = run.config.algorithm, (run.results or {})["test_curve"]
    floor = f"floor of {ALGORITHMS[algorithm]}"
    frames = [point["stream_frames"] for point in points]
    for axis, figure, label, look, shown in (
        (axes[0], "error", _setting(run), ".-", colour),
        (axes[0], "floor", floor, "--", COLOURS[algorithm][0]),
        (axes[1], "source_error", _setting(run), ".-", colour),
    ):
        values = [point[figure] for point in points]
        axis.plot(frames, values, look, color=shown, label=label, linewidth=1)

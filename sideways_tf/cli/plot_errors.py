"""Reconstruction error over stream frames, BP and Sideways, as a picture.

    sideways plot errors --results_dir=runs --dataset=moving_objects --output=errors.png

One line a run, one colour an algorithm; dashed: the floor of a perfect auto-encoder.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from absl import flags

from sideways_tf.errors import UserError
from sideways_tf.report.runs import Run
from sideways_tf.runs import options
from sideways_tf.runs.read import find_runs

FLAGS = flags.FlagValues()
define = functools.partial(options.define, FLAGS)
define("results_dir", "runs", "folder of runs, or one above it")
define("dataset", "moving_objects", "which runs to draw")
define("epochs", 0, "only runs of so many epochs; 0: all", low=0)
define("output", "errors.png", "the picture, .png or .svg")
COLOURS = {"bp": "tab:orange", "sideways": "tab:blue"}
NAMES = {"bp": "BP", "sideways": "Sideways"}


def main() -> None:
    """Draw the runs of the flags."""
    found, remarks = find_runs([FLAGS.results_dir])
    for remark in remarks:
        print(remark, file=sys.stderr)
    runs = [run for run in found if _wanted(run)]
    if not runs:
        raise UserError(
            f"--results_dir={FLAGS.results_dir} holds no auto-encoding run on {FLAGS.dataset}"
            f"{f' of {FLAGS.epochs} epochs' if FLAGS.epochs else ''}: train first"
        )
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), sharex=True, sharey=True)
    for run in runs:
        _draw(axes, run)
    for axis, title in zip(axes, ("against the current frame", "against its source"), strict=True):
        axis.set(title=f"output shown {title}", xlabel="stream frames", yscale="log")
    axes[0].set_ylabel("mean squared error")
    handles = {line.get_label(): line for line in axes[0].get_lines()}
    axes[0].legend(handles.values(), handles.keys(), fontsize="small")
    figure.tight_layout()
    figure.savefig(FLAGS.output, dpi=110)


def _wanted(run: Run) -> bool:
    c = run.config
    ours = c.autoencodes and c.dataset == FLAGS.dataset and FLAGS.epochs in (0, c.epochs)
    return bool(run.results and ours)


def _draw(axes: Any, run: Run) -> None:
    """One run in both panels: the error of Table 3, and that without latency and drops."""
    algorithm, points = run.config.algorithm, (run.results or {})["test_curve"]
    frames = [point["stream_frames"] for point in points]
    look = {"color": COLOURS[algorithm], "marker": ".", "linewidth": 1}
    axes[0].plot(frames, [p["error"] for p in points], label=NAMES[algorithm], **look)
    floor = [p["floor"] for p in points]
    axes[0].plot(
        frames, floor, "--", color=COLOURS[algorithm], label=f"floor of {NAMES[algorithm]}"
    )
    axes[1].plot(frames, [p["source_error"] for p in points], **look)

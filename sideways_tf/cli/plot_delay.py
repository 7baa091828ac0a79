"""Error of auto-encoding over the delay of pseudo-gradients: runs of several --modules.

    sideways plot delay --results_dir=runs --frames=3072 --output=delay.png

A line for each way to update (learning rate, beta_1, rates by delay ...), the mean over seeds; a
point a run; dashed: the floor of latency. The pseudo-gradients of module 1 of D are 2(D - 1)
computation steps late.
"""

from __future__ import annotations

import statistics
from typing import Any

from sideways_tf.errors import UserError
from sideways_tf.report.lines import finish
from sideways_tf.report.remarks import say
from sideways_tf.report.runs import Run
from sideways_tf.report.table3 import ways
from sideways_tf.runs import options
from sideways_tf.runs.read import find_runs

FLAGS, define = options.new_flags()
define("results_dir", "runs", "folder of runs, or one above it")
define("dataset", "moving_objects", "which runs to draw")
define("frames", 0, "errors after so many stream frames, of runs tested then; 0: at the end", low=0)
define("output", "delay.png", "the picture, .png or .svg")
# The auto-encoder's own D; its file imports TensorFlow.
OWN_DEPTH = 6


def main() -> None:
    """Draw the runs of the flags."""
    found, remarks = find_runs([FLAGS.results_dir])
    say(remarks)
    lines: dict[str, dict[int, list[Run]]] = {}
    for run in filter(_wanted, found):
        rate = f"learning rate {run.config.learning_rate:g}"
        name = ", ".join([rate, *(ways(run) or ["as the paper"])])
        lines.setdefault(name, {}).setdefault(run.config.modules or OWN_DEPTH, []).append(run)
    if not lines:
        when = f" tested after {FLAGS.frames} frames" if FLAGS.frames else ""
        raise UserError(
            f"--results_dir={FLAGS.results_dir} holds no auto-encoding run of Sideways on "
            f"{FLAGS.dataset}{when}: train first"
        )
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for n, (name, runs) in enumerate(sorted(lines.items())):
        _draw(axes, runs, name, f"C{n}")
    depths = sorted({depth for runs in lines.values() for depth in runs})
    for axis, title in zip(axes, ("against the current frame", "against its source"), strict=True):
        axis.set(title=f"output shown {title}", xlabel="modules (steps late in module 1)")
        axis.set_yscale("log")
        finish(axis)
        axis.set_xticks([late(d) for d in depths], [f"{d} ({late(d)})" for d in depths])
        axis.legend(fontsize=8)
    axes[0].set_ylabel("mean squared error")
    figure.savefig(FLAGS.output, dpi=110)


def _wanted(run: Run) -> bool:
    c = run.config
    ours = c.autoencodes and (c.dataset, c.algorithm) == (FLAGS.dataset, "sideways")
    return ours and bool(_point(run))


def _point(run: Run) -> dict[str, float]:
    """What the run's test said after --frames, or at the end; {} if there was none."""
    points = (run.results or {}).get("test_curve", [])
    wanted = [p for p in points if FLAGS.frames in (0, p["stream_frames"])]
    return wanted[-1] if wanted else {}


def late(depth: int) -> int:
    """By how many computation steps the pseudo-gradients of module 1 are late."""
    return 2 * (depth - 1)


def _draw(axes: Any, runs: dict[int, list[Run]], name: str, colour: str) -> None:
    depths = sorted(runs)
    for axis, figure in zip(axes, ("error", "source_error"), strict=True):
        found = [[_point(run)[figure] for run in runs[depth]] for depth in depths]
        means = [statistics.fmean(values) for values in found]
        axis.plot([late(d) for d in depths], means, "-", color=colour, label=name)
        for depth, values in zip(depths, found, strict=True):
            axis.plot([late(depth)] * len(values), values, ".", color=colour)
    floors = {late(depth): _point(runs[depth][0])["floor"] for depth in depths if depth > 1}
    axes[0].plot(list(floors), list(floors.values()), "--", color="grey", linewidth=1)

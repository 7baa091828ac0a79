"""Table 3: mean squared error of auto-encoding, beside the paper's."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from sideways_tf.report.paired import NAME, paired_words
from sideways_tf.report.runs import Run, is_classifier
from sideways_tf.report.table import NOT_RUN, Table, spread

PAPER = {"bp": 0.014, "sideways": 0.002}
TITLE = "Mean squared error of auto-encoding (Table 3), the lower the better"
_FIGURES = ("test_error", "test_floor", "test_source_error", "test_latency_floor")


def table3(runs: Sequence[Run]) -> Table:
    """One row for each algorithm on each data set: mean and standard deviation over seeds.

    Below it, by equal seeds, how each setting of Sideways differs from each of BP on one stream.

    Args:
      runs: finished; those that are no auto-encoders are left alone, those that differ in more than
        their seed are rows of their own.
    """
    header = [
        "data", "algorithm", "stream frames", "learning rate", "seeds", "error", "floor",
        "against its source frame", "floor of latency alone",
    ]  # fmt: skip
    rows = [
        ["CATER 240x240 (paper)", algorithm, "", "", "", f"{error:.3f}", "", "", ""]
        for algorithm, error in PAPER.items()
    ]
    groups: dict[tuple, list[Run]] = {}
    for run in runs:
        if run.results and not is_classifier(run):
            kind = (*run.recipe.items(), run.config.split, run.results["stream_frames"])
            groups.setdefault(kind, []).append(run)
    rows += sorted(map(_row, groups.values()), key=lambda row: (*row[:2], int(row[2])))
    ran = {(group[0].config.dataset, group[0].config.algorithm) for group in groups.values()}
    for algorithm in PAPER:
        if ("cater", algorithm) not in ran:
            rows.append(["cater", algorithm, *[NOT_RUN] * (len(header) - 2)])
    return Table(TITLE, header, rows, below=_differences(list(groups.values())))


def _differences(groups: Sequence[Sequence[Run]]) -> list[str]:
    """A line for each setting of BP and each of Sideways that saw the same frames with one seed."""
    lines = []
    for bp, sideways in itertools.product(groups, repeat=2):
        if [g[0].config.algorithm for g in (bp, sideways)] == ["bp", "sideways"]:
            apart = paired_words(bp, sideways, "test_error", 4)
            if _stream(bp[0]) == _stream(sideways[0]) and apart != "-":
                (data, left, frames, rate, *_), (_, right, _, other, *_) = _row(bp), _row(sideways)
                lines.append(
                    f"- {NAME} on {data}, {frames} frames: {apart}; {right} at {other}, {left} at "
                    f"{rate}"
                )
    return sorted(lines)


def _stream(run: Run) -> tuple[Any, ...]:
    """What both learn from."""
    c = run.config
    seen = c.dataset, c.size, c.shorter_side, c.frames, c.stride, c.batch_size, c.holdout, c.modules
    return *seen, (run.results or {})["stream_frames"]


def _label(run: Run) -> str:
    """The algorithm, and how it departs from the paper's network, target and updates."""
    return ", ".join([run.config.algorithm, *depth_words(run), *ways(run)])


def depth_words(run: Run) -> list[str]:
    """D, where it is not the network's own."""
    modules = run.config.modules
    return [f"{modules} module{'s' if modules > 1 else ''}"] if modules else []


def ways(run: Run) -> list[str]:
    """How its target and updates depart from the paper's, but for the learning rate."""
    c, parts = run.config, []
    if c.target != "paper":
        parts.append(f"target {c.target}")
    if c.update_every != 1:
        parts.append(f"an update every {c.update_every or c.frames} steps")
    if "beta_1" in run.departures:
        parts.append(f"beta_1 {c.beta_1:g}")
    if c.delay_rates != "none":
        parts.append(f"{c.delay_rates} delay rates")
    if c.look_ahead != "none":
        parts.append(f"look-ahead {c.look_ahead}")
    return parts


def _row(runs: Sequence[Run]) -> list[str]:
    c, results = runs[0].config, [run.results or {} for run in runs]
    return [
        f"{c.dataset} {c.size}x{c.size}",
        _label(runs[0]),
        str(results[0]["stream_frames"]),
        f"{c.learning_rate:g}",
        str(len({run.config.seed for run in runs})),
        *(spread([each[name] for each in results], 4) for name in _FIGURES),
    ]

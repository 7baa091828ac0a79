"""Table 3: mean squared error of auto-encoding, beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sideways_tf.report.runs import Run, is_classifier
from sideways_tf.report.table import NOT_RUN, Table, spread

PAPER = {"bp": 0.014, "sideways": 0.002}
TITLE = "Mean squared error of auto-encoding (Table 3), the lower the better"
_FIGURES = ("test_error", "test_floor", "test_source_error", "test_latency_floor")


def table3(runs: Sequence[Run]) -> Table:
    """One row for each algorithm on each data set: mean and standard deviation over seeds.

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
    return Table(TITLE, header, rows)


def _label(c: Any) -> str:
    """The algorithm, and how it departs from the paper's network and target."""
    parts = [c.algorithm]
    if c.modules:
        parts.append(f"{c.modules} module{'s' if c.modules > 1 else ''}")
    if c.target != "paper":
        parts.append(f"target {c.target}")
    if c.update_every != 1:
        parts.append(f"an update every {c.update_every or c.frames} steps")
    return ", ".join(parts)


def _row(runs: Sequence[Run]) -> list[str]:
    c, results = runs[0].config, [run.results or {} for run in runs]
    return [
        f"{c.dataset} {c.size}x{c.size}",
        _label(c),
        str(results[0]["stream_frames"]),
        f"{c.learning_rate:g}",
        str(len({run.config.seed for run in runs})),
        *(spread([each[name] for each in results], 4) for name in _FIGURES),
    ]

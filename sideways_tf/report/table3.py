"""Table 3: mean squared error of auto-encoding, beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sideways_tf.report.table import NOT_RUN, Table

PAPER = {"bp": 0.014, "sideways": 0.002}
TITLE = "Mean squared error of auto-encoding (Table 3), the lower the better"
# What a run is, beside its seed: only runs alike in it are averaged.
_KIND = (
    "dataset", "split", "size", "resize", "frames", "batch_size", "stride", "algorithm", "modules",
    "target", "optimizer", "learning_rate", "weight_decay", "epochs",
)  # fmt: skip
_FIGURES = ("test_error", "test_floor", "test_source_error", "test_latency_floor")


def table3(runs: Sequence[dict[str, Any]]) -> Table:
    """One row for each algorithm on each data set: mean and standard deviation over seeds.

    Args:
      runs: contents of results.json files; those that are no auto-encoders are left alone, those
        that differ in more than their seed are rows of their own.
    """
    header = [
        "data", "algorithm", "stream frames", "learning rate", "seeds", "error", "floor",
        "against its source frame", "floor of latency alone",
    ]  # fmt: skip
    rows = [
        ["CATER 240x240 (paper)", algorithm, "", "", "", f"{error:.3f}", "", "", ""]
        for algorithm, error in PAPER.items()
    ]
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for run in runs:
        if run["configuration"].get("model") == "autoencoder":
            groups.setdefault(_group(run), []).append(run)
    for key in sorted(groups, key=str):
        rows.append(_row(groups[key]))
    ran = {(key[_KIND.index("dataset")], key[_KIND.index("algorithm")]) for key in groups}
    for algorithm in PAPER:
        if ("cater", algorithm) not in ran:
            rows.append(["cater", algorithm, *[NOT_RUN] * (len(header) - 2)])
    return Table(TITLE, header, rows)


def _group(run: dict[str, Any]) -> tuple:
    return *(run["configuration"][name] for name in _KIND), run["stream_frames"]


def _label(c: dict[str, Any]) -> str:
    """The algorithm, and how it departs from the paper's network and target."""
    parts = [c["algorithm"]]
    if c["modules"]:
        parts.append(f"{c['modules']} module{'s' if c['modules'] > 1 else ''}")
    if c["target"] != "paper":
        parts.append(f"target {c['target']}")
    return ", ".join(parts)


def _row(runs: Sequence[dict[str, Any]]) -> list[str]:
    c = runs[0]["configuration"]
    return [
        f"{c['dataset']} {c['size']}x{c['size']}",
        _label(c),
        str(runs[0]["stream_frames"]),
        f"{c['learning_rate']:g}",
        str(len({run["seed"] for run in runs})),
        *(spread([run[name] for run in runs]) for name in _FIGURES),
    ]


def spread(values: Sequence[float]) -> str:
    """Mean, and standard deviation over runs where there are several."""
    mean = f"{np.mean(values):.4f}"
    return f"{mean} ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else mean

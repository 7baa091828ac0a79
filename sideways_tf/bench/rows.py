"""From what the processes have measured to the rows of table2.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sideways_tf.bench.job import Job
from sideways_tf.bench.plan import (
    Modules,
    bound,
    costs_of,
    device_seconds,
    predicted_seconds,
    whole_shares,
)

Row = dict[str, Any]


def make_row(job: Job, found: dict[str, Any], modules: Modules) -> Row:
    """A row without its speed-up.

    Keys beside those of the table: `busy_share` of each device: measured on simulated
    accelerators, elsewhere the module times over the time of a step (above 1 where modules run
    faster than alone, or logical CPUs lend each other their cores), None where modules do not run
    frame by frame; `share_of_bound`: the time that the fullest device needs by the module times,
    over the measured time; `speedup_over_ideal_bp`: over BP as fast as the module times allow;
    `core_seconds_per_step`: processor time.
    """
    predicted = predicted_seconds(job, modules)
    seconds = 1 / found["steps_per_second"]
    base = job.frames * sum(costs_of(modules))
    slices = job.shares or whole_shares(job.placement, modules)
    speedup = base / predicted if predicted else None
    shares = [s / seconds for s in device_seconds(job, modules)] if predicted else None
    if (job.algorithm, job.engine) == ("sideways", "pipelined"):
        speedup = bound(job, modules)
    shown = ("model", "algorithm", "engine", "devices", "device_kind", "purpose", "batch", "frames",
             "size", "steps", "repeats", "link_gbps", "wide", "jit", "precision",
             "plain")  # fmt: skip
    return {
        **{name: getattr(job, name) for name in shown},
        **found,
        "speedup": None,
        "predicted_speedup": speedup,
        "busy_share": found["busy_share"] or shares,
        "share_of_bound": predicted / seconds if predicted else None,
        "speedup_over_ideal_bp": base / seconds,
        "modules": [
            {**module, "device": number, "slices": each}
            for module, number, each in zip(modules, job.placement, slices, strict=True)
        ],
    }


def find(rows: Sequence[Row], **wanted: Any) -> Row | None:
    """The first row with all of these values; None if there is none."""
    matches = (row for row in rows if all(row[key] == value for key, value in wanted.items()))
    return next(matches, None)


def add_speedups(rows: Sequence[Row]) -> None:
    """Set each speed row's speed-up over frame-by-frame BP on as many devices."""
    for row in rows:
        base = find(
            rows, purpose="speed", algorithm="bp", engine="frame_by_frame",
            model=row["model"], devices=row["devices"], device_kind=row["device_kind"],
            plain=True,
        )  # fmt: skip
        if base and row["purpose"] == "speed":
            row["speedup"] = row["steps_per_second"] / base["steps_per_second"]

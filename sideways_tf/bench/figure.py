"""A measured Figure 2: which module worked on which frame, and when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sideways_tf.bench.job import ENGINE_WORDS, Job
from sideways_tf.bench.timeline import Event
from sideways_tf.engines import schedule

# At most so many update cycles are drawn; more would blur.
CYCLES = 3


def write_timeline(events: Sequence[Event], job: Job, folder: Path) -> None:
    """Write `events` of one training step as NAME.json (Chrome trace) and NAME.png."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{job.name}.json"
    path.write_text(json.dumps(chrome_trace(events, job)))
    draw(events, job, folder / f"{job.name}.png")


def source_frame(event: Event, job: Job) -> int:
    """The frame an event stems from: its activation's forward, its loss's backward; < 1: none."""
    if not event.backward or job.algorithm == "bp":
        return event.frame
    step = event.frame + event.module - 1
    return schedule.loss_frame(event.module, step, len(job.placement))


def chrome_trace(events: Sequence[Event], job: Job) -> dict:
    """The Trace Event Format, for chrome://tracing and Perfetto: a process a device."""
    origin = min(event.start for event in events)
    made: list[dict] = []
    for device in sorted({e.device for e in events}):
        label = {"name": f"{job.device_kind} device {device}"}
        made.append({"name": "process_name", "ph": "M", "pid": device, "args": label})
    for e in events:
        name = f"module {e.module} {'backward' if e.backward else 'forward'}"
        span = {"ts": (e.start - origin) * 1e6, "dur": (e.end - e.start) * 1e6}
        frames = {"activation of frame": e.frame, "stems from frame": source_frame(e, job)}
        where = {"pid": e.device, "tid": e.module}
        made.append({"name": name, "ph": "X", **where, **span, "args": frames})
    return {"traceEvents": made, "displayTimeUnit": "ms"}


def draw(events: Sequence[Event], job: Job, path: Path) -> None:
    """Modules by time; the forward pass in the upper half of a row, the backward in the lower."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    depth = len(job.placement)
    origin = min(event.start for event in events)
    shown = [e for e in events if e.end <= _horizon(events, job)]
    figure = Figure(figsize=(12, 1 + 0.5 * depth), layout="constrained")
    axes = figure.add_subplot()
    colours = colormaps["tab10"]
    for e in shown:
        source, middle = source_frame(e, job), e.module - (0.2 if e.backward else -0.2)
        start, width = (e.start - origin) * 1e3, (e.end - e.start) * 1e3
        face = colours((source - 1) % 10) if source >= 1 else "none"
        hatch = "//" if e.backward and source >= 1 else None
        look: Any = {"facecolor": face, "hatch": hatch, "edgecolor": "grey", "linewidth": 0.4}
        axes.barh(middle, width, left=start, height=0.38, **look)
    axes.set_yticks(range(1, depth + 1), [f"{i} on {d}" for i, d in enumerate(job.placement, 1)])
    axes.set_ylabel("module on device")
    axes.set_xlabel("milliseconds")
    axes.set_title(
        f"{job.model}, {ENGINE_WORDS[job.algorithm, job.engine]}, {job.devices} {job.device_kind} "
        "devices\ncolour: frame it stems from; hatched: backward; empty: no frame yet",
        fontsize=10,
    )
    figure.savefig(path, dpi=120)


def _horizon(events: Sequence[Event], job: Job) -> float:
    """The end of the first few update cycles: when the last module has met that many frames."""
    depth = len(job.placement)
    last = CYCLES * (schedule.cycle_length(depth) if job.algorithm == "sideways" else 1)
    if job.engine == "gpipe":
        return max(event.end for event in events)
    ends = [e.end for e in events if e.module == 1 and e.backward and e.frame <= last]
    return max(ends)

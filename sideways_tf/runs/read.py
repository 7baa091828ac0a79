"""Runs read back from their folders; and what cannot be used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from sideways_tf.errors import UserError
from sideways_tf.report.runs import Run
from sideways_tf.runs.folder import RunFolder
from sideways_tf.runs.from_flags import from_plain

# Numbers that every results.json has, and those of each task.
FIGURES = ("iterations", "train_loss", "train_videos")
CLASSIFICATION = ("test_video_accuracy",)
AUTOENCODING = (
    "stream_frames", "test_error", "test_floor", "test_source_error", "test_latency_floor",
)  # fmt: skip


def find_runs(places: Sequence[str | Path]) -> tuple[list[Run], list[str]]:
    """All runs in and below `places`, by path; and a line for each that cannot be read.

    A run is a folder, or a file of results by another name than results.json.

    Raises:
      UserError: if there is not one.
    """
    found: dict[Path, Run | str | None] = {}
    remarks = []
    for place in map(Path, places):
        files = [*place.rglob("flags.cfg"), *place.rglob("*.json")]
        owners = {f if f.name not in ("flags.cfg", "results.json") else f.parent for f in files}
        for owner in sorted(owners - set(found)):
            found[owner] = _read(owner)
        if not any(found[owner] for owner in owners):
            remarks.append(f"{place}: no run there, nor below")
    remarks = [*(said for said in found.values() if isinstance(said, str)), *remarks]
    runs = [run for run in found.values() if isinstance(run, Run)]
    if not runs:
        raise UserError("; ".join(remarks) or "name folders of runs")
    return runs, remarks


def _read(owner: Path) -> Run | str | None:
    """What is wrong, if anything is; None for a file of something else."""
    try:
        return read_run(owner)
    except UserError as error:
        return str(error)


def read_run(owner: Path) -> Run | None:
    """The run in the folder `owner`, or in the file; None if the file holds something else.

    Raises:
      UserError: its files are damaged, or of another version of this package.
    """
    try:
        if owner.is_file():
            results = json.loads(owner.read_text())
            if not isinstance(results, dict) or "configuration" not in results:
                return None
        else:
            results = RunFolder(owner).results()
        if results is None:
            config = RunFolder(owner).config()
        else:
            config = from_plain(results["configuration"])
            for figure in (*FIGURES, *(AUTOENCODING if config.autoencodes else CLASSIFICATION)):
                float(results[figure])
    except (UserError, flags.Error, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{owner}: damaged or of another version, left out ({error})") from None
    changes = RunFolder(owner).changes if results is None else results.get("changes", [])
    said = "; ".join(
        "{flag} ({was}, from iteration {iteration} on {now})".format(**change) for change in changes
    )
    recipe = {**config.recipe, "allow_changed": said}
    departures = {**config.departures, **({"allow_changed": said} if said else {})}
    return Run(owner, config, results, recipe, departures)

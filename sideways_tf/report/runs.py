"""Runs as they lie in folders: configuration, results, curves; and what cannot be used."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from absl import flags
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from sideways_tf.errors import UserError
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder

# Flags that change no number of a run but where it looks and what it writes down.
WITHOUT_EFFECT = {
    "workdir", "data_dir", "cache_dir", "strict_data", "engine", "devices", "placement", "workers",
    "logical_cpus", "evaluate_every", "checkpoint_every", "log_every", "diagnose_every",
}  # fmt: skip
# Repetitions of one experiment.
REPEATED = {"seed", "split"}


class Curve(NamedTuple):
    """Points of one TensorBoard tag by iteration: int64 [n], rising; float64 [n]."""

    steps: np.ndarray
    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Run:
    """A folder that `sideways_tf.train` has made; `results` is None before the run is finished."""

    path: Path
    config: Config
    results: dict[str, Any] | None

    @property
    def setting(self) -> tuple[float, float]:
        """Learning rate and weight decay, the hyper-parameters that the paper searched."""
        return self.config.learning_rate, self.config.weight_decay


def find_runs(places: Sequence[str | Path]) -> tuple[list[Run], list[str]]:
    """All runs in and below `places`, by path; and a line for each that cannot be read.

    Raises:
      UserError: if there is not one.
    """
    folders: list[Path] = []
    remarks: list[str] = []
    runs: list[Run] = []
    for place in map(Path, places):
        found = {
            path.parent for name in ("flags.cfg", "results.json") for path in place.rglob(name)
        }
        folders += sorted(found - set(folders))
        if not found:
            remarks.append(f"{place}: no run there, nor below")
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except UserError as error:
            remarks.append(str(error))
    if not runs:
        raise UserError("; ".join(remarks) or "name folders of runs")
    return runs, remarks


def read_run(folder: Path) -> Run:
    """The run in `folder`.

    Raises:
      UserError: its files are damaged, or of another version of this package.
    """
    try:
        results = RunFolder(folder).results()
        if results is None:
            return Run(folder, RunFolder(folder).config(), None)
    except (UserError, flags.Error, OSError) as error:
        raise UserError(f"{folder}: damaged or of another version, left out ({error})") from None
    return from_results(folder, results)


def from_results(path: Path, results: dict[str, Any]) -> Run:
    """The finished run of which results.json says `results`.

    Raises:
      UserError: it lacks something, or is of another version of this package.
    """
    try:
        fields = dict(results["configuration"])
        fields["drop_epochs"] = tuple(fields["drop_epochs"])
        for figure in ("iterations", "train_loss", "train_videos"):
            float(results[figure])
        if fields["model"] != "autoencoder":
            float(results["test_video_accuracy"])
        return Run(path, Config(**fields), results)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: damaged or of another version, left out ({error})") from None


def alike(runs: Sequence[Run], free: set[str]) -> tuple[list[Run], list[str]]:
    """The runs of one recipe, and a line for each other run.

    Runs are of one recipe if they differ in `free` flags and those without effect alone; the
    recipe is that of most runs, in a tie of the first.
    """
    ignored = WITHOUT_EFFECT | REPEATED | free

    def recipe(run: Run) -> tuple[Any, ...]:
        fields = dataclasses.asdict(run.config).items()
        return tuple((name, value) for name, value in fields if name not in ignored)

    if not runs:
        return [], []
    usual = Counter(map(recipe, runs)).most_common(1)[0][0]
    kept, remarks = [], []
    for run in runs:
        other = [name for name, value in recipe(run) if dict(usual)[name] != value]
        if other:
            remarks.append(
                f"{run.path}: of another recipe, left out (--{other[0]}="
                f"{getattr(run.config, other[0])}, not {dict(usual)[other[0]]})"
            )
        else:
            kept.append(run)
    return kept, remarks


def read_curves(run: Run, wanted: Sequence[str]) -> dict[str, Curve]:
    """The curves of `run` whose tag, `train/loss` say, starts with one of `wanted`.

    A run that goes on while its files are read is seen up to the last whole point. Where a run was
    killed and continued, later files have the word.
    """
    points: dict[str, dict[int, float]] = {}
    for tag, step, value in _points(run.path):
        if tag.startswith(tuple(wanted)):
            points.setdefault(tag, {})[step] = value
    return {tag: _curve(curve) for tag, curve in points.items()}


def _points(folder: Path) -> Iterator[tuple[str, int, float]]:
    for part in ("train", "test"):
        for file in sorted((folder / part).glob("events.out.tfevents.*")):
            # It ends quietly at a record that is cut off, as the last of a living run may be.
            for event in EventFileLoader(str(file)).Load():
                for value in event.summary.value:
                    if value.metadata.plugin_data.plugin_name == "scalars":
                        number = float(tf.make_ndarray(value.tensor))
                        yield f"{part}/{value.tag}", event.step, number


def _curve(points: dict[int, float]) -> Curve:
    steps = sorted(points)
    return Curve(np.array(steps, np.int64), np.array([points[step] for step in steps]))


def unfinished(run: Run, curves: dict[str, Curve]) -> str | None:
    """A line if `run` is not finished, or its event files end before the run did."""
    last = max((int(curve.steps[-1]) for curve in curves.values()), default=0)
    if run.results is None:
        return f"{run.path}: unfinished, shown up to iteration {last}"
    if last < run.results["iterations"]:
        return (
            f"{run.path}: its event files end at iteration {last} of "
            f"{run.results['iterations']}, shown so far"
        )
    return None

"""Runs as reports take them: plain data and curves; which of them belong together."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# The hyper-parameters that the paper searched.
SEARCHED = {"learning_rate", "weight_decay"}


# Tags of earlier versions, without train/ or test/.
OLD_TAGS = {
    "loss": "fit/loss",
    "accuracy": "fit/frame_accuracy",
    "frame_accuracy": "fit/frame_accuracy",
    "video_accuracy": "fit/video_accuracy",
}
OLD_PREFIXES = {"cosine": "gradient_cosine", "norm_ratio": "gradient_norm_ratio"}


class Curve(NamedTuple):
    """Points of one TensorBoard tag by iteration: int64 [n], rising; float64 [n]."""

    steps: np.ndarray
    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that `sideways train` has made.

    Attributes:
      path: its folder, or the file of its results alone.
      config: has every flag as an attribute.
      results: what results.json says; None before the run is finished.
      recipe: the flags that its numbers depend on, but for those of a repetition (seed, split).
      departures: the part of the recipe that is not the paper's.
    """

    path: Path
    config: Any
    results: dict[str, Any] | None
    recipe: dict[str, Any]
    departures: dict[str, Any]

    @property
    def setting(self) -> tuple[float, float]:
        """Learning rate and weight decay."""
        return self.config.learning_rate, self.config.weight_decay


def is_classifier(run: Run) -> bool:
    """Whether it has accuracies."""
    return run.config.model != "autoencoder"


def classifiers(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Those that have accuracies, and a line for each other run."""
    others = (run for run in runs if not is_classifier(run))
    remarks = [
        f"{run.path}: --model={run.config.model} is no classifier, left out" for run in others
    ]
    return [run for run in runs if is_classifier(run)], remarks


def alike(runs: Sequence[Run], free: set[str]) -> tuple[list[Run], list[str]]:
    """The runs of one recipe, but for the flags in `free`, and a line for each other run.

    The recipe is that of most runs, in a tie of the first.
    """
    recipes = [{k: v for k, v in run.recipe.items() if k not in free} for run in runs]
    if not runs:
        return [], []
    usual = dict(Counter(tuple(recipe.items()) for recipe in recipes).most_common(1)[0][0])
    kept, remarks = [], []
    for run, recipe in zip(runs, recipes, strict=True):
        other = [name for name, value in recipe.items() if usual[name] != value]
        if other:
            remarks.append(
                f"{run.path}: of another recipe, left out "
                f"(--{other[0]}={recipe[other[0]]}, not {usual[other[0]]})"
            )
        else:
            kept.append(run)
    return kept, remarks


class Drawn(NamedTuple):
    """A run with its curves."""

    run: Run
    curves: dict[str, Curve]


def draw_alike(
    runs: Sequence[Run], free: set[str], tags: Sequence[str]
) -> tuple[list[Drawn], list[str]]:
    """The runs of one recipe, see `alike`, with their curves; and a line for each remark."""
    kept, remarks = alike(runs, free)
    drawn = [Drawn(run, read_curves(run, tags)) for run in kept]
    return drawn, remarks + [note for each in drawn if (note := unfinished(*each))]


def read_curves(run: Run, wanted: Sequence[str]) -> dict[str, Curve]:
    """The curves of `run` whose tag, `train/fit/loss` say, starts with one of `wanted`.

    A run that goes on while its files are read is seen up to the last whole point. Where a run was
    killed and continued, later files have the word.
    """
    points: dict[str, dict[int, float]] = {}
    for tag, step, value in _points(run.path):
        if tag.startswith(tuple(wanted)):
            points.setdefault(tag, {})[step] = value
    return {tag: _curve(curve) for tag, curve in points.items()}


def _points(folder: Path) -> Iterator[tuple[str, int, float]]:
    import tensorflow as tf  # Takes seconds, and tables do without.
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    for part in ("train", "test"):
        for file in sorted((folder / part).glob("events.out.tfevents.*")):
            # It ends quietly at a record that is cut off, as the last of a living run may be.
            for event in EventFileLoader(str(file)).Load():
                for value in event.summary.value:
                    if value.metadata.plugin_data.plugin_name == "scalars":
                        number = float(tf.make_ndarray(value.tensor))
                        yield f"{part}/{present_name(value.tag)}", event.step, number


def present_name(tag: str) -> str:
    """What a tag is called now."""
    first, slash, rest = tag.partition("/")
    return OLD_TAGS.get(tag) or OLD_PREFIXES.get(first, first) + slash + rest


def _curve(points: dict[int, float]) -> Curve:
    steps = sorted(points)
    return Curve(np.array(steps, np.int64), np.array([points[step] for step in steps]))


def unfinished(run: Run, curves: dict[str, Curve]) -> str | None:
    """A line if `run` is not finished, or its event files are missing or end before the run did."""
    last = max((int(curve.steps[-1]) for curve in curves.values()), default=0)
    if run.results is None:
        return f"{run.path}: unfinished, shown up to iteration {last}"
    if not curves:
        return f"{run.path}: without curves, only its results are shown"
    if last < run.results["iterations"]:
        return (
            f"{run.path}: its event files end at iteration {last} of "
            f"{run.results['iterations']}, shown so far"
        )
    return None

"""Table 1: accuracy of classification, BP and Sideways, beside the paper's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sideways_tf.errors import UserError
from sideways_tf.report.runs import REPEATED, WITHOUT_EFFECT, Run, alike, from_results
from sideways_tf.report.table import NOT_RUN, Table
from sideways_tf.runs.config import Config
from sideways_tf.runs.sweep.choice import Candidate, choose

TITLE = (
    "Accuracy of classification in % (Table 1): test videos, mean ± standard deviation over runs"
)
# (data set, model, dropout) -> the paper's accuracy with BP and with Sideways, in %.
PAPER = {
    ("hmdb51", "simple_cnn", 0.0): ("17.2", "16.5"),
    ("hmdb51", "vgg8", 0.0): ("24.6", "25.8"),
    ("hmdb51", "vgg8", 0.9): ("-", "-"),
    ("ucf101", "simple_cnn", 0.0): ("40.7", "42.16"),
    ("ucf101", "vgg8", 0.0): ("49.1", "53.8"),
    ("ucf101", "vgg8", 0.9): ("56.0", "58.2"),
}
HEADER = (
    "data", "model", "paper: BP", "paper: Sideways", "BP", "Sideways",
    "rate, decay of BP", "of Sideways", "departs from the paper",
)  # fmt: skip
SEARCHED = {"learning_rate", "weight_decay"}
Experiment = tuple[str, str, float]


def table1(results: Sequence[dict[str, Any]]) -> Table:
    """A row for each of the paper's, and one below it for runs of another recipe.

    Smaller frames, fewer videos and the like get the row below; where they differ among
    themselves, the recipe of most runs has it. Of several learning rates and weight decays the
    cell shows those with the lowest training loss, a rule that does not look at the test.

    Args:
      results: contents of results.json files, with their path as "path".
    """
    runs, left_out = classifiers(results)
    rows: list[list[str]] = []
    for experiment in sorted({*PAPER, *map(experiment_of, runs)}):
        mine = [run for run in runs if experiment_of(run) == experiment]
        exact = [run for run in mine if not departures(run.config)]
        other, remarks = alike([run for run in mine if run not in exact], {"algorithm", *SEARCHED})
        left_out += remarks
        if experiment in PAPER:
            rows.append(row(experiment, exact, PAPER[experiment]))
        if other:
            rows.append(row(experiment, other, ("-", "-")))
    return Table(TITLE, HEADER, rows, tuple(left_out))


def classifiers(results: Sequence[dict[str, Any]]) -> tuple[list[Run], list[str]]:
    """The runs that were tested on test videos; and a line for each other, or for all alike."""
    runs, left_out, held_out = [], [], 0
    for each in results:
        try:
            run = from_results(Path(each["path"]), each)
        except UserError as error:
            left_out.append(str(error))
            continue
        if run.config.holdout:
            held_out += 1
        elif not run.config.autoencodes:
            runs.append(run)
    if held_out:
        left_out.append(f"{held_out} runs were tested on held-out training videos, left out")
    return runs, left_out


def experiment_of(run: Run) -> Experiment:
    """What makes a row."""
    return run.config.dataset, run.config.model, run.config.dropout


def departures(config: Config) -> list[str]:
    """Flags by which a run's recipe is not the paper's, which is that of the defaults."""
    dataset, model = config.dataset, config.model
    paper = Config(dataset=dataset, model=model, dropout=config.dropout, resize=config.resize)
    free = {"algorithm", *SEARCHED, *WITHOUT_EFFECT, *REPEATED}
    if config.shorter_side == paper.shorter_side:
        free.add("resize")
    return [
        f"--{name}={value}"
        for name, value in dataclasses.asdict(config).items()
        if name not in free and value != getattr(paper, name)
    ]


def row(experiment: Experiment, runs: Sequence[Run], paper: tuple[str, str]) -> list[str]:
    """The cells of both algorithms; `runs` are of one recipe."""
    dataset, model, dropout = experiment
    name = f"{model} + dropout {dropout:g}" if dropout else model
    cells = [cell([r for r in runs if r.config.algorithm == a]) for a in ("bp", "sideways")]
    (bp, bp_setting), (sideways, sideways_setting) = cells
    words = departures(runs[0].config) if runs else []
    if runs and words and runs[0].results:
        words.append(f"{runs[0].results['train_videos']} training videos")
    last = [bp_setting, sideways_setting, " ".join(words) or "-"]
    return [dataset, name, *paper, bp, sideways, *last]


def cell(runs: Sequence[Run]) -> tuple[str, str]:
    """Accuracy and setting, of the setting with the lowest training loss."""
    settings: dict[str, Candidate] = {}
    for run in runs:
        words = f"{run.config.learning_rate:g}, {run.config.weight_decay:g}"
        settings.setdefault(words, Candidate({"setting": words}, [])).runs.append(run.results or {})
    if not settings:
        return NOT_RUN, "-"
    best = choose(list(settings.values()), (), "train_loss")[""]
    note = f" (of {len(settings)})" if len(settings) > 1 else ""
    accuracies = [run["test_video_accuracy"] for run in best.runs]
    return accuracy_words(accuracies), best.setting["setting"] + note


def accuracy_words(values: Sequence[float]) -> str:
    """Mean and standard deviation (n - 1) of accuracies in [0, 1], in %, and how many."""
    if not values:
        return NOT_RUN
    mean = f"{100 * np.mean(values):.1f}"
    if len(values) == 1:
        return f"{mean} (1 run)"
    return f"{mean} ± {100 * np.std(values, ddof=1):.1f} ({len(values)} runs)"

"""Table 1: accuracy of classification, BP and Sideways, beside the paper's."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from sideways_tf.report.paired import NAME, paired_words
from sideways_tf.report.runs import SEARCHED, Run, alike, is_classifier
from sideways_tf.report.table import NOT_RUN, Table, spread

TITLE = (
    "Accuracy of classification in % (Table 1): test videos, mean ± standard deviation over runs; "
    "the difference is that of equal seeds"
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
    "data", "model", "paper: BP", "paper: Sideways", "BP", "Sideways", NAME,
    "rate, decay of BP", "of Sideways", "departs from the paper",
)  # fmt: skip
Experiment = tuple[str, str, float]


def table1(runs: Sequence[Run]) -> Table:
    """A row for each of the paper's, and one below it for runs of another recipe.

    Smaller frames, fewer videos and the like get the row below; where they differ among
    themselves, the recipe of most runs has it. Of several learning rates and weight decays the
    cell shows those with the lowest training loss, a rule that does not look at the test.

    Args:
      runs: finished; auto-encoders, and runs tested on held-out videos, are not taken.
    """
    tested = [run for run in runs if is_classifier(run)]
    runs = [run for run in tested if not run.config.holdout]
    left_out = []
    if len(tested) > len(runs):
        held_out = len(tested) - len(runs)
        left_out.append(f"{held_out} runs were tested on held-out training videos, left out")
    rows: list[list[str]] = []
    for experiment in sorted({*PAPER, *map(experiment_of, runs)}):
        mine = [run for run in runs if experiment_of(run) == experiment]
        exact = [run for run in mine if not run.departures]
        other, remarks = alike([run for run in mine if run.departures], {"algorithm", *SEARCHED})
        left_out += remarks
        if experiment in PAPER:
            rows.append(row(experiment, exact, PAPER[experiment]))
        if other:
            rows.append(row(experiment, other, ("-", "-")))
    return Table(TITLE, HEADER, rows, tuple(left_out))


def experiment_of(run: Run) -> Experiment:
    """What makes a row."""
    return run.config.dataset, run.config.model, run.config.dropout


def row(experiment: Experiment, runs: Sequence[Run], paper: tuple[str, str]) -> list[str]:
    """The cells of both algorithms; `runs` are of one recipe."""
    dataset, model, dropout = experiment
    name = f"{model} + dropout {dropout:g}" if dropout else model
    cells = [cell([r for r in runs if r.config.algorithm == a]) for a in ("bp", "sideways")]
    (bp, bp_setting, bp_runs), (sideways, sideways_setting, sideways_runs) = cells
    apart = paired_words(bp_runs, sideways_runs, "test_video_accuracy", 1, scale=100)
    words = [f"--{flag}={value}" for flag, value in runs[0].departures.items()] if runs else []
    if words and runs[0].results:
        words.append(f"{runs[0].results['train_videos']} training videos")
    last = [bp_setting, sideways_setting, " ".join(words) or "-"]
    return [dataset, name, *paper, bp, sideways, apart, *last]


def cell(runs: Sequence[Run]) -> tuple[str, str, list[Run]]:
    """Accuracy, setting and runs, of the setting with the lowest training loss."""
    settings: dict[tuple[float, float], list[Run]] = {}
    for run in runs:
        settings.setdefault(run.setting, []).append(run)
    if not settings:
        return NOT_RUN, "-", []
    best = min(settings, key=lambda s: statistics.fmean(numbers(settings[s], "train_loss")))
    note = f" (of {len(settings)})" if len(settings) > 1 else ""
    words = ", ".join(f"{value:g}" for value in best)
    chosen = settings[best]
    return accuracy_words(numbers(chosen, "test_video_accuracy")), words + note, chosen


def numbers(runs: Sequence[Run], figure: str) -> list[float]:
    """`figure` of the results of each."""
    return [(run.results or {})[figure] for run in runs]


def accuracy_words(values: Sequence[float]) -> str:
    """Mean and standard deviation of accuracies in [0, 1], in %, and of how many."""
    count = f" ({len(values)} run{'s' if len(values) > 1 else ''})" if values else ""
    return spread(values, 1, scale=100) + count

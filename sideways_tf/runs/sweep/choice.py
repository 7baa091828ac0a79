"""Which setting of a sweep is best, and the tables that say so.

No rule looks at the test videos: `holdout` takes the highest accuracy (the lowest error, of an
auto-encoder) on training videos that were held out, `train_loss` the lowest loss on the
others.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from sideways_tf.runs.sweep.grid import Setting, words
from sideways_tf.runs.sweep.runner import Outcome

RULES = {
    "holdout": "the highest accuracy (auto-encoder: the lowest error) on {share:.0%} of the "
    "training videos, held out in whole recordings and always the same; then the lower loss on "
    "them; then the first in the grid. The best is trained anew on all training videos, and tested "
    "once, at its end.",
    "train_loss": "the lowest training loss, a running average over about the last epoch; then "
    "the first in the grid. It sees no video that was not trained on, so it does not see "
    "overfitting either.",
}


class Candidate(NamedTuple):
    """A setting and what its finished runs, one for each seed, say of it."""

    setting: Setting
    runs: list[dict[str, Any]]

    def score(self, rule: str) -> list[float]:
        """Means over the runs; larger is better."""
        signs = {"test_video_accuracy": 1, "test_loss": -1}
        if "test_error" in self.runs[0]:
            signs = {"test_error": -1}
        if rule == "train_loss":
            signs = {"train_loss": -1}
        return [s * statistics.fmean(run[key] for run in self.runs) for key, s in signs.items()]


def candidates(outcomes: Sequence[Outcome]) -> list[Candidate]:
    """The settings that have a finished run, in the order of the grid."""
    found: dict[str, Candidate] = {}
    for outcome in outcomes:
        if outcome.results:
            setting = outcome.job.setting
            found.setdefault(words(setting), Candidate(setting, [])).runs.append(outcome.results)
    return list(found.values())


def choose(found: Sequence[Candidate], compared: Sequence[str], rule: str) -> dict[str, Candidate]:
    """The best setting for each combination of the `compared` flags, by their words."""
    groups: dict[str, list[Candidate]] = {}
    for candidate in found:
        group = {name: candidate.setting[name] for name in compared}
        groups.setdefault(words(group), []).append(candidate)
    # max keeps the first of equals.
    return {name: max(group, key=lambda c: c.score(rule)) for name, group in groups.items()}

"""Differences between Sideways and BP where both had the same seed, with their uncertainty.

Runs of one seed begin with the same weights and see the same videos in the same order, so that
their difference is known better than the two means.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sideways_tf.report.runs import Run

# Student's t, the 97.5 % point, for 1, 2, .. degrees of freedom; beyond, the last is too wide.
T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
NAME = "Sideways - BP"


class Difference(NamedTuple):
    """Of `pairs` pairs: their mean, and half of its 95 % t interval (NaN of a single pair)."""

    mean: float
    half: float
    pairs: int

    def words(self, digits: int, scale: float = 1.0) -> str:
        """`scale` times it: "-2.0 ± 1.1 (95 %, 3 pairs)"."""
        text = f"{scale * self.mean:+.{digits}f}"
        if self.pairs == 1:
            return f"{text} (1 pair)"
        return f"{text} ± {scale * self.half:.{digits}f} (95 %, {self.pairs} pairs)"


def difference(left: Mapping[Any, float], right: Mapping[Any, float]) -> Difference | None:
    """`right` - `left` over the keys that both have; None if there is none.

    The interval is mean ± t * s / sqrt(n) of the n differences, s their standard deviation.
    """
    found = [right[key] - left[key] for key in left if key in right]
    if not found:
        return None
    half = math.nan
    if len(found) > 1:
        t = T[min(len(found) - 1, len(T)) - 1]
        half = t * statistics.stdev(found) / math.sqrt(len(found))
    return Difference(statistics.fmean(found), half, len(found))


def by_seed(runs: Sequence[Run], figure: str) -> dict[tuple[int, int], float]:
    """(split, seed) -> `figure` of results.json, of runs that are finished."""
    return {(run.config.split, run.config.seed): run.results[figure] for run in runs if run.results}


def paired_words(
    bp: Sequence[Run], sideways: Sequence[Run], figure: str, digits: int, scale: float = 1.0
) -> str:
    """The difference of `figure` between runs of one recipe each; "-" without a pair."""
    found = difference(by_seed(bp, figure), by_seed(sideways, figure))
    return found.words(digits, scale) if found else "-"

"""Cutting a row of costs into contiguous groups with the smallest largest sum. No TensorFlow.

The slowest device sets the pace of a pipeline, so that the best cut has the smallest largest
group, and no device count can beat sum(costs) / max(costs).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from sideways_tf.errors import UserError


def cut(costs: Sequence[float], groups: int) -> list[int]:
    """How many neighbours each group takes, so that the largest sum of a group is smallest.

    Exact, by dynamic programming: the best cut of the first n costs into g groups ends with some
    last group, before which stands the best cut of the rest into g - 1 groups.

    Args:
      costs: of each layer or module, at least 0, in order; for example seconds.
      groups: how many are wanted; with more groups than costs the last ones stay empty.

    Returns:
      Sizes of min(groups, len(costs)) groups, each at least 1; they sum to len(costs).
    """
    if not costs or groups < 1 or min(costs) < 0:
        raise UserError(f"cannot cut {len(costs)} costs into {groups} groups: both must be >= 1")
    count = min(groups, len(costs))
    sums = [0.0, *itertools.accumulate(costs)]
    # best[n]: (largest sum, sizes) of the first n costs, in as many groups as rounds so far.
    best = {n: (sums[n], [n]) for n in range(1, len(costs) + 1)}
    for done in range(1, count):
        best = {
            n: min(
                (max(best[m][0], sums[n] - sums[m]), [*best[m][1], n - m]) for m in range(done, n)
            )
            for n in range(done + 1, len(costs) + 1)
        }
    return best[len(costs)][1]


def device_sums(costs: Sequence[float], devices: Sequence[int]) -> list[float]:
    """Sum of the costs on each device; `devices` numbers a device for each cost, from 0."""
    sums = [0.0] * (max(devices) + 1)
    for cost, device in zip(costs, devices, strict=True):
        sums[device] += cost
    return sums


def bound(costs: Sequence[float], devices: Sequence[int]) -> float:
    """The largest speed-up of a pipeline over one module at a time: sum / largest device's sum."""
    return sum(costs) / max(device_sums(costs, devices))


def numbered(sizes: Sequence[int]) -> list[int]:
    """Group sizes as a group number for each member, from 0: [2, 1] -> [0, 0, 1]."""
    return [group for group, size in enumerate(sizes) for _ in range(size)]

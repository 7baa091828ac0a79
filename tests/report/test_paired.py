"""Paired differences by hand-worked numbers, and where reports show them."""

import math
import statistics

import pytest

from sideways_tf.report.paired import T, difference


def test_three_pairs_by_hand():
    # Differences 1, 2, 3: mean 2, deviation 1, t(2) = 4.303; 4.303 / sqrt(3) = 2.484.
    found = difference({0: 1.0, 1: 1.0, 2: 1.0}, {2: 4.0, 1: 3.0, 0: 2.0, 7: 99.0})
    assert found.mean == 2.0
    assert found.half == pytest.approx(2.4844, abs=1e-4)
    assert found.pairs == 3
    assert found.words(1) == "+2.0 ± 2.5 (95 %, 3 pairs)"
    assert found.words(0, scale=100) == "+200 ± 248 (95 %, 3 pairs)"


def test_five_pairs_by_hand():
    # -2, -1, 0, 1, 2: mean 0, variance 10 / 4, t(4) = 2.776.
    found = difference(dict.fromkeys(range(5), 5.0), {n: 3.0 + n for n in range(5)})
    assert found.mean == 0.0
    assert found.half == pytest.approx(2.776 * math.sqrt(2.5 / 5))


def test_pairing_takes_away_what_both_have_in_common():
    # Seeds differ by 10, the algorithms by 1 in each: no interval at all is left.
    left = {seed: 10.0 * seed for seed in range(3)}
    right = {seed: value - 1 for seed, value in left.items()}
    assert statistics.stdev(left.values()) == 10
    assert difference(left, right).words(1) == "-1.0 ± 0.0 (95 %, 3 pairs)"


def test_one_pair_has_no_interval_and_none_no_difference():
    one = difference({0: 1.0, 1: 9.0}, {0: 0.5})
    assert math.isnan(one.half)
    assert one.words(1) == "-0.5 (1 pair)"
    assert difference({0: 1.0}, {1: 1.0}) is None


def test_the_table_of_t():
    """It falls, to 1.96 in the end; t(1) = tan(0.475 pi), t(2) = 0.95 sqrt(2 / (1 - 0.95^2))."""
    assert list(T) == sorted(T, reverse=True)
    assert len(T) == 30
    assert T[0] == pytest.approx(math.tan(0.475 * math.pi), abs=5e-4)
    assert T[1] == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)), abs=5e-4)
    assert T[-1] > 1.96
    many = difference(dict.fromkeys(range(40), 0.0), {n: float(n % 2) for n in range(40)})
    assert many.half == pytest.approx(2.042 * math.sqrt(10 / 39 / 40))

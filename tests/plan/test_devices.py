"""Which module lives on which device: cuts, lists, names, errors; and that numbers never change."""

import itertools
import random

import pytest
import tensorflow as tf

from sideways_tf.engines import PipelinedSideways
from sideways_tf.errors import UserError
from sideways_tf.plan import balance, devices
from sideways_tf.plan.times import measure
from tests.engines.networks import (
    L,
    assert_episodes_equal,
    copies,
    dense_layers,
    random_clip,
    squared_error,
)

EIGHT = [f"/job:localhost/replica:0/task:0/device:CPU:{n}" for n in range(8)]


def never():
    raise AssertionError("measured though nobody asked for it")


def every_cut(count, groups):
    """Sizes of all ways to cut `count` things into `groups` contiguous groups."""
    for ends in itertools.combinations(range(1, count), groups - 1):
        marks = [0, *ends, count]
        yield [b - a for a, b in itertools.pairwise(marks)]


def largest(costs, sizes):
    return max(balance.device_sums(costs, balance.numbered(sizes)))


@pytest.mark.parametrize(
    ("costs", "groups", "sizes"),
    [
        ([1, 1, 1, 1], 2, [2, 2]),
        ([1, 2, 3, 4, 5], 2, [3, 2]),  # 6 | 9; 10 | 5 is worse
        ([9, 1, 1, 1], 2, [1, 3]),  # greedy by count would give 10
        ([2, 3, 4], 3, [1, 1, 1]),
        ([2, 3, 4], 5, [1, 1, 1]),  # more devices than modules: the last ones stay free
        ([2, 3, 4], 1, [3]),
    ],
)
def test_cut_by_hand(costs, groups, sizes):
    assert balance.cut(costs, groups) == sizes


@pytest.mark.parametrize("seed", range(20))
def test_cut_is_exact(seed):
    rng = random.Random(seed)
    costs = [rng.choice([0.0, 1.0, rng.uniform(0, 10)]) for _ in range(rng.randint(1, 9))]
    for groups in range(1, len(costs) + 1):
        sizes = balance.cut(costs, groups)
        assert (sum(sizes), len(sizes), min(sizes) >= 1) == (len(costs), groups, True)
        best = min(largest(costs, other) for other in every_cut(len(costs), groups))
        assert largest(costs, sizes) == pytest.approx(best, rel=1e-12)


def test_bound_is_the_sum_over_the_fullest_device():
    assert balance.bound([1.0, 2.0, 3.0], [0, 0, 1]) == 2.0
    assert balance.bound([1.0, 2.0, 3.0], [0, 1, 0]) == 1.5


def test_one_per_module_shares_evenly_where_devices_are_fewer():
    def numbers(modules, count):
        return devices.device_numbers("one_per_module", modules, EIGHT[:count], never)

    assert numbers(3, 8) == [0, 1, 2]
    assert numbers(6, 2) == [0, 0, 0, 1, 1, 1]
    assert numbers(5, 2) == [0, 0, 0, 1, 1]
    assert numbers(4, 1) == [0, 0, 0, 0]


def test_balanced_follows_the_seconds():
    numbers = devices.device_numbers("balanced", 4, EIGHT[:2], lambda: [9.0, 1.0, 1.0, 1.0])
    assert numbers == [0, 1, 1, 1]
    assert devices.device_numbers("balanced", 4, EIGHT[:1], never) == [0, 0, 0, 0]


def test_list_takes_numbers_and_names():
    assert devices.device_numbers("1, 0,1", 3, EIGHT[:2], never) == [1, 0, 1]
    assert devices.device_numbers("CPU:1,/cpu:0,1", 3, EIGHT[:2], never) == [1, 0, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("0,1", "has 2 entries, the network has 3 modules"),
        ("0,1,2", "there is no device '2'; there are 2, from 0: CPU:0, CPU:1"),
        ("0,1,-1", "there is no device '-1'"),
        ("0,1,GPU:0", "there is no device 'GPU:0'"),
        ("balance", "has 1 entries, the network has 3 modules"),
    ],
)
def test_refuses_a_wrong_list(given, message):
    with pytest.raises(UserError, match=message) as caught:
        devices.device_numbers(given, 3, EIGHT[:2], never)
    assert "\n" not in str(caught.value)


def test_devices_that_are_not_there():
    with pytest.raises(UserError, match=r"sees no GPU here, only .*CPU:0"):
        devices.find_devices("gpu")
    with pytest.raises(UserError, match=r"no device 'CPU:8'; there are CPU:0, .*--logical_cpus"):
        devices.find_devices("CPU:0,CPU:8")


def test_measures_each_layer_and_places_by_it():
    """The second layer multiplies a thousand times more than the others."""
    layers = [L.Dense(8), L.Dense(1500), L.Dense(8), L.Dense(8)]
    layers.insert(2, L.Dense(1500))
    frame = tf.TensorSpec([64, 8], tf.float32)
    seconds = [times.both for times in measure(layers, frame)]
    assert max(seconds) == seconds[2]
    placed = devices.place("balanced", layers, frame, EIGHT[:3])
    assert [placed.index(placed[2]), placed[::-1].index(placed[2])] == [2, 2]  # by itself
    assert not any(layer.built for layer in layers)  # only copies were measured


def test_a_layer_that_cannot_be_copied_is_named():
    class Mine(L.Layer):
        def __init__(self, secret):
            super().__init__()

    frame = tf.TensorSpec([2, 4], tf.float32)
    layers = [L.Dense(4), Mine(object())]
    with pytest.raises(UserError, match="'mine' cannot be copied to be measured"):
        devices.place("balanced", layers, frame, EIGHT[:2])
    assert devices.place("0,1", layers, frame, EIGHT[:2]) == EIGHT[:2]


@pytest.mark.once
@pytest.mark.parametrize(
    "numbers", [[0] * 4, [0, 0, 0, 1], [0, 1, 1, 1], [1, 0, 1, 0], [3, 2, 5, 7]]
)
def test_uneven_placements_change_no_number(numbers):
    clip, targets = random_clip([9, 2, 4], 5)
    seed = tf.constant([1, 2])
    _, (one,) = copies(lambda: dense_layers(4, norm=True), [2, 4], 1)
    _, (many,) = copies(lambda: dense_layers(4, norm=True), [2, 4], 1, [EIGHT[n] for n in numbers])
    expected = PipelinedSideways(one, squared_error)(clip, targets, seed)
    assert_episodes_equal(expected, PipelinedSideways(many, squared_error)(clip, targets, seed))
    for module, number in zip(many, numbers, strict=True):
        assert {v.device for v in module.variables} == {EIGHT[number]}

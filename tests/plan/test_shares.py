"""Sharing modules out over devices: plans and traffic by hand, limits, a model that does it."""

import random

import numpy as np
import pytest
import tensorflow as tf

import sideways_tf as sw
from sideways_tf.errors import UserError
from sideways_tf.plan import shares
from sideways_tf.plan.shares import Links, Load, Transfer
from tests.engines.networks import L

# Seconds 1, 8, 1: no cut between modules passes 10 / 8.
THREE = [Load(1.0, 16), Load(8.0, 64), Load(1.0)]


def test_a_plan_by_hand():
    assert shares.whole(THREE, 2) == [((0, 16),), ((1, 64),), ((1, 1),)]
    # 5 | 5: half of the channels of module 2 are 4 seconds.
    plan = shares.widen(THREE, 2)
    assert plan == [((0, 16),), ((0, 32), (1, 32)), ((1, 1),)]
    assert shares.device_seconds(THREE, plan, 2) == [5.0, 5.0]
    assert shares.gain(THREE, plan, 2) == 9 / 5


def test_a_module_that_stays_whole_bounds_the_plan():
    plan = shares.widen([Load(1.0, 16), Load(8.0), Load(1.0, 16)], 3)
    assert [len(each) for each in plan] == [1, 1, 1]


def test_whole_blocks_of_channels_where_they_cost_little():
    # 50 of 100 channels are no 8s; 48 and 52 are 3 % slower.
    assert shares.widen([Load(9.0), Load(50.0, 100), Load(9.0)], 2)[1] == ((0, 50), (1, 50))
    # 61 and 67 of 128 are even, 161 seconds; 64 and 64 take 164, 1.9 % more.
    plan = shares.widen([Load(100.0), Load(128.0, 128), Load(94.0)], 2)
    assert plan[1] == ((0, 64), (1, 64))
    # 152 and 104 of 256 are even, 80 seconds, but priced 86; 160 and 96 take 84 and 76.
    plan = shares.widen([Load(4.0), Load(128.0, 256), Load(28.0)], 2)
    assert plan[1] == ((0, 160), (1, 96))
    assert shares.device_seconds([Load(4.0), Load(128.0, 256), Load(28.0)], plan, 2) == [84.0, 76.0]


@pytest.mark.parametrize("seed", range(8))
def test_any_plan_is_whole_in_order_and_near_its_bound(seed):
    draw = random.Random(seed)
    loads = [
        Load(draw.uniform(0.1, 5), draw.choice([0, 16, 96, 512]), *draw.choices(range(9), k=3))
        for _ in range(draw.randint(1, 9))
    ]
    devices = draw.randint(1, 8)
    plan = shares.widen(loads, devices)
    for load, each in zip(loads, plan, strict=True):
        assert sum(units for _, units in each) == max(load.units, 1)
        assert len(each) == 1 or load.units
        assert all(units > 0 for _, units in each)
    order = [device for each in plan for device, _ in each]
    assert order == sorted(order)
    assert max(order) < devices
    seconds = max(shares.device_seconds(loads, plan, devices))
    assert seconds <= max(shares.device_seconds(loads, shares.whole(loads, devices), devices))
    if all(load.units >= 96 for load in loads):
        assert seconds <= 1.1 * sum(load.seconds for load in loads) / devices


def test_traffic_by_hand():
    loads = [Load(1.0, 4, 100, 200, 7), Load(1.0, 4, 200, 300, 40), Load(1.0, 4, 300, 50, 9)]
    plan = [((0, 4),), ((0, 3), (1, 1)), ((1, 4),)]
    assert [shares.lead(each) for each in plan] == [0, 0, 1]
    assert shares.transfers(loads, plan) == [
        Transfer(1, 1, 0, 0, 300),  # The gradient from above, from module 3's device.
        Transfer(1, 0, 1, 200, 0),  # The input, to the other slice.
        Transfer(1, 0, 1, 0, 75),  # A quarter of the gradient from above.
        # A quarter of the output; back, of the gradient of the weights, and that of the input.
        Transfer(1, 1, 0, 75, 10 + 200),
        Transfer(2, 0, 1, 300, 0),
    ]
    # At 100 bytes a second: 5.85 s more at device 0, 5.75 s at device 1.
    seconds = shares.device_seconds(loads, plan, 2, Links(100.0))
    assert seconds == pytest.approx([1.75 + 5.85, 1.25 + 5.75])
    # The same between two machines of one device; within one nothing is between.
    assert shares.device_seconds(loads, plan, 2, Links(0.0, 100.0, 1)) == pytest.approx(seconds)
    assert shares.device_seconds(loads, plan, 2, Links(0.0, 100.0, 2)) == [1.75, 1.25]


def test_a_slow_link_leaves_modules_whole():
    loads = [Load(1.0, 16, 0, 10), Load(8.0, 64, 10, 10), Load(1.0, 0, 10, 10)]
    plan = shares.widen(loads, 2)
    assert shares.widen(loads, 2, Links(1.0)) == shares.whole(loads, 2)
    rate = shares.break_even(loads, plan, 2)
    gains = [shares.gain(loads, plan, 2, Links(rate * near)) for near in (1.01, 0.99)]
    assert gains[0] > 1 > gains[1]
    assert shares.break_even(loads, shares.whole(loads, 2), 2) > 1e14  # Nothing is gained at all.


def network():
    return tf.keras.Sequential([
        tf.keras.Input([8, 8, 3]), L.Conv2D(4, 3, activation="relu"),
        L.Conv2D(32, 3, activation="relu"), L.GlobalAveragePooling2D(), L.Dense(3),
    ])  # fmt: skip


def test_a_widened_model_trains_as_a_whole_one(tmp_path):
    clips = np.random.default_rng(0).random([2, 6, 8, 8, 3], np.float32)
    labels = np.array([0, 2])
    weights, net = [], network()
    start = net.get_weights()
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for widen in (False, True):
        net.set_weights(start)
        model = sw.SidewaysModel(net, 3, devices="CPU:0,CPU:1", engine="pipelined", widen=widen)
        model.compile(tf.keras.optimizers.legacy.SGD(0.1), loss)
        model.fit(clips, labels, batch_size=2, epochs=2, verbose=0)
        weights.append(model.network.get_weights())
    assert any(len(set(module.devices)) == 2 for module in model.modules)
    for left, right in zip(*weights, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)  # float32, two updates.
    model.save(tmp_path / "wide.keras")
    again = tf.keras.models.load_model(tmp_path / "wide.keras")
    np.testing.assert_allclose(again.predict(clips, verbose=0), model.predict(clips, verbose=0))


def test_widen_plans_by_itself():
    with pytest.raises(UserError, match="placement=0,1: widen=True plans by itself"):
        sw.SidewaysModel(network(), 2, devices="CPU:0,CPU:1", placement="0,1", widen=True)

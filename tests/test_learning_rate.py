"""The schedule of section 4.3 at named iterations."""

import pytest

from sideways_tf.learning_rate import WarmUpThenDrops


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [
        (0, 0.0),  # 0 at the beginning,
        (1, 1e-4 / 2230),  # linearly in each iteration,
        (1115, 0.5e-4),
        (2229, 1e-4 * 2229 / 2230),
        (2230, 1e-4),  # the initial value at epoch 5 (446 iterations an epoch: HMDB51),
        (44599, 1e-4),
        (44600, 1e-5),  # a tenth from epoch 100
        (89199, 1e-5),
        (89200, 1e-6),  # and again from epoch 200.
        (133800, 1e-6),
    ],
)
def test_paper_schedule(iteration, expected):
    schedule = WarmUpThenDrops(1e-4, iterations_per_epoch=446)
    # float32 iterations are exact up to 2^24; the quotients round at 1e-7.
    assert float(schedule(iteration)) == pytest.approx(expected, rel=1e-6)


def test_without_warm_up_and_drops_it_is_constant():
    schedule = WarmUpThenDrops(0.1, 10, warmup_epochs=0, drop_epochs=())
    assert [round(float(schedule(n)), 7) for n in (0, 1, 10**6)] == [0.1] * 3


def test_a_drop_inside_the_warm_up():
    schedule = WarmUpThenDrops(1.0, 10, warmup_epochs=2, drop_epochs=(1,))
    assert float(schedule(9)) == pytest.approx(0.45)
    assert float(schedule(10)) == pytest.approx(0.05)


def test_config_makes_the_same_schedule_again():
    schedule = WarmUpThenDrops(0.3, 7, 2.0, (3, 4))
    again = WarmUpThenDrops.from_config(schedule.get_config())
    assert float(again(22)) == float(schedule(22))

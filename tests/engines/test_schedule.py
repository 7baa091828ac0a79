"""The staircase of section 3.4, pinned as literal tables."""

import pytest

from sideways_tf.engines import schedule
from sideways_tf.errors import UserError


def table(depth, steps):
    """Rows from module D down to 1: "frame/loss frame" at each step."""
    rows = []
    for module in range(depth, 0, -1):
        cells = []
        for step in range(1, steps + 1):
            frame = schedule.frame_held(module, step)
            origin = schedule.loss_frame(module, step, depth)
            cells.append("." if frame < 1 else f"{frame}/{origin if origin > 0 else '.'}")
        rows.append(" ".join(cells))
    return rows


def test_three_modules_seven_steps():
    assert table(3, 7) == [
        ". . 1/1 2/2 3/3 4/4 5/5",
        ". 1/. 2/. 3/1 4/2 5/3 6/4",
        "1/. 2/. 3/. 4/. 5/1 6/2 7/3",
    ]
    assert [schedule.gamma(i, 3, 7) for i in (1, 2, 3)] == [3, 4, 5]


def test_one_module_is_in_step_with_its_loss():
    assert table(1, 3) == ["1/1 2/2 3/3"]
    assert schedule.gamma(1, 1, 3) == 3


@pytest.mark.parametrize(("depth", "steps"), [(1, 1), (2, 3), (5, 9), (5, 20), (8, 64)])
def test_masks_gammas_and_frames_agree(depth, steps):
    for module in range(1, depth + 1):
        forward = [t for t in range(1, steps + 1) if schedule.frame_held(module, t) >= 1]
        backward = [t for t in range(1, steps + 1) if schedule.loss_frame(module, t, depth) >= 1]
        assert forward[0] == schedule.first_forward_step(module) == module
        assert backward[0] == schedule.first_backward_step(module, depth) == 2 * depth - module
        assert len(forward) == schedule.frames_seen(module, steps) == steps - module + 1
        assert (
            len(backward) == schedule.gamma(module, depth, steps) == steps - 2 * depth + module + 1
        )


def test_a_frame_is_learnt_from_by_all_modules_in_one_update_cycle():
    depth = 5
    last_gradient = schedule.first_backward_step(1, depth)
    assert last_gradient == schedule.cycle_length(depth) == 9


def test_too_short_an_episode_is_refused_with_both_numbers():
    schedule.check_episode(6, 11)
    with pytest.raises(UserError, match=r"10 frames.*6 modules.*11 frames"):
        schedule.check_episode(6, 10)
    assert schedule.gamma(1, 6, 10) == 0

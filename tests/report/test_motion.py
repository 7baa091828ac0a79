"""The change of pixels, by hand."""

import numpy as np
import pytest

from sideways_tf.report.motion import changes, motion_table


def frames(*levels):
    return np.array(levels, np.float32).reshape(-1, 1, 1, 1) * np.ones([1, 2, 2, 3], np.float32)


def test_changes_by_hand():
    # Steps of 0.5, -0.25: mean 0.375; squares 0.25, 0.0625. Two apart: 0.25.
    video = frames(0.0, 0.5, 0.25)
    assert changes(video, 1) == pytest.approx((0.375, 0.15625))
    assert changes(video, 2) == pytest.approx((0.25, 0.0625))
    assert changes(video, 3) is None


def test_each_video_counts_alike_where_it_is_long_enough():
    table = motion_table("T", [frames(0.0, 0.5), frames(0.0, 0.0, 0.0, 0.25)], apart=(1, 2, 8))
    # One apart: 0.5 and 0.25 / 3; two apart: the second alone, 0 and 0.25.
    assert table.header == ["", "1 frame apart", "2 frames apart", "8 frames apart"]
    assert table.rows == [
        ["mean change, of white", "29.17%", "12.50%", "-"],
        ["mean squared change", "0.13542", "0.03125", "-"],
    ]

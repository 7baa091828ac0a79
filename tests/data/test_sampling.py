"""Frame indices by literal numbers."""

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.data.sampling import clip_indices, clip_start


@pytest.mark.parametrize(
    ("num_frames", "start", "frames", "stride", "padding", "expected"),
    [
        (10, 2, 4, 1, "torus", [2, 3, 4, 5]),
        (5, 0, 8, 1, "torus", [0, 1, 2, 3, 4, 0, 1, 2]),
        (5, 3, 4, 1, "torus", [3, 4, 0, 1]),
        (1, 0, 3, 1, "torus", [0, 0, 0]),
        (12, 1, 3, 4, "torus", [1, 5, 9]),
        (7, 0, 4, 3, "torus", [0, 3, 6, 2]),
        (5, 0, 8, 1, "repeat_last", [0, 1, 2, 3, 4, 4, 4, 4]),
        (7, 0, 4, 3, "repeat_last", [0, 3, 6, 6]),
    ],
)
def test_indices(
    num_frames: int, start: int, frames: int, stride: int, padding: str, expected: list[int]
) -> None:
    got = clip_indices(tf.constant(num_frames), tf.constant(start), frames, stride, padding)
    assert got.dtype == tf.int32
    assert got.numpy().tolist() == expected


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_stride_keeps_every_sth_frame_of_a_longer_padded_clip(stride: int) -> None:
    num_frames, start, frames = tf.constant(17), tf.constant(5), 9
    longer = clip_indices(num_frames, start, frames * stride, 1, "torus").numpy()
    strided = clip_indices(num_frames, start, frames, stride, "torus").numpy()
    np.testing.assert_array_equal(strided, longer[::stride])


def test_every_start_at_which_the_clip_fits_is_drawn_and_no_other() -> None:
    starts = {int(clip_start(tf.constant(10), 8, tf.constant([s, 0]))) for s in range(64)}
    assert starts == {0, 1, 2}


@pytest.mark.parametrize("num_frames", [1, 7, 8])
def test_a_video_no_longer_than_the_clip_starts_at_its_first_frame(num_frames: int) -> None:
    assert {int(clip_start(tf.constant(num_frames), 8, tf.constant([s, 0]))) for s in range(9)} == {
        0
    }


def test_unknown_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="mirror"):
        clip_indices(tf.constant(3), tf.constant(0), 4, 1, "mirror")

"""The drawn directions: what moves where, and that one frame does not tell."""

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.data import Clip, open_dataset
from sideways_tf.data.synthetic import moving_directions
from sideways_tf.data.synthetic.moving_directions import DIRECTIONS, draw_video

SIDE = 48


def centres(label, count=12):
    """Where the shape is at each frame, as angles around the picture, which has no edge."""
    found = []
    turns = np.exp(2j * np.pi * np.arange(SIDE) / SIDE)
    for frame, _ in zip(draw_video("train/000", label, SIDE), range(count), strict=False):
        bright = (frame.max(axis=-1) > 130).astype(float)
        found.append([np.angle((bright.sum(axis) * turns).sum()) for axis in (0, 1)])
    return np.array(found)


@pytest.mark.parametrize("label", DIRECTIONS)
def test_the_shape_goes_where_its_class_says(label):
    steps = np.diff(centres(label), axis=0)
    steps = np.angle(np.exp(1j * steps)).mean(axis=0) / (2 * np.pi)  # Right and down, of the side.
    heading = DIRECTIONS.index(label) * np.pi / 4
    speed = np.hypot(*steps)
    low, high = moving_directions.SPEEDS
    assert low - 0.005 < speed < high + 0.005
    np.testing.assert_allclose(steps / speed, [np.cos(heading), np.sin(heading)], atol=0.1)


def test_all_classes_start_with_the_same_pictures():
    """Of one number, the first frame is the same in every class: it holds nothing of the class."""
    firsts = [next(draw_video("test/003", label, SIDE)) for label in DIRECTIONS]
    for first in firsts[1:]:
        np.testing.assert_array_equal(first, firsts[0])


def test_clips_are_not_mirrored(tmp_path, monkeypatch):
    monkeypatch.setattr(moving_directions, "NUM_TRAIN", 16)
    monkeypatch.setattr(moving_directions, "NUM_TEST", 8)
    dataset = open_dataset("moving_directions", resize=16, cache_dir=str(tmp_path))
    assert dataset.class_names == list(DIRECTIONS)
    # The crop is the whole frame, the clip the whole video: what is left is the mirroring.
    clip = Clip(frames=moving_directions.NUM_FRAMES, size=16)
    ((clips, labels),) = dataset.train_batches(clip, seed=0, epoch=0, batch_size=16)
    given = {frames.numpy().tobytes() for frames, _, _ in dataset.train_videos(clip)}
    assert {each.numpy().tobytes() for each in clips} == given
    assert np.bincount(labels).tolist() == [2] * len(DIRECTIONS)
    assert clips.dtype == tf.float32

"""What is drawn for a clip: start, crop and flip, each by itself."""

import pytest
import tensorflow as tf

from sideways_tf.data import Clip, pipeline


@pytest.mark.parametrize("seed", range(8))
def test_a_start_leaves_room_for_the_strided_clip(monkeypatch, seed):
    """Twelve frames, four of them at stride 3: there is one start, the first frame."""
    monkeypatch.setattr(pipeline, "read_frames", lambda path, frames: frames)
    example = {"frames": tf.range(12), "path": tf.constant("")}
    clip = Clip(4, 8, 3, "torus")
    assert pipeline.sample_frames(example, clip, [seed, 0]).numpy().tolist() == [0, 3, 6, 9]


def test_start_crop_and_flip_are_drawn_apart(monkeypatch):
    seen = {}

    def start(num_frames, span, seed):
        seen["start"] = seed
        return tf.constant(0)

    def window(height, width, size, seed):
        seen["crop"] = seed
        return tf.constant([0, 0, size, size])

    def flip(frames, seed):
        seen["flip"] = seed
        return frames

    monkeypatch.setattr(pipeline, "clip_start", start)
    monkeypatch.setattr(pipeline, "random_window", window)
    monkeypatch.setattr(pipeline, "random_flip", flip)
    monkeypatch.setattr(pipeline, "read_frames", lambda path, frames: frames)
    clip = Clip(2, 8, 1, "torus")
    jpeg = tf.io.encode_jpeg(tf.zeros([8, 8, 3], tf.uint8))
    pipeline.sample_frames({"frames": tf.range(4), "path": tf.constant("")}, clip, [3, 4])
    pipeline.augment(tf.stack([jpeg, jpeg]), clip, [3, 4], None)
    assert len({tuple(seed.numpy()) for seed in seen.values()}) == len(seen) == 3

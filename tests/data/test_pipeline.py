"""Crops and flips on frames whose pixels are their own coordinates."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.data import Clip, pipeline
from sideways_tf.data.video_files import encode_jpeg

HEIGHT, WIDTH, SIZE, STEP = 20, 24, 16, 10


def _jpegs(frames: int) -> list[bytes]:
    """Red is ten times the row, green ten times the column, blue ten times the frame."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] * STEP
    jpegs = []
    for frame in range(frames):
        pixels = np.stack([rows, columns, np.full_like(rows, STEP * frame)], axis=-1)
        grey = pixels.astype(np.uint8)
        # Quality 100 without colour subsampling keeps each pixel apart from its neighbours.
        options = [cv2.IMWRITE_JPEG_QUALITY, 100]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        jpegs.append(cv2.imencode(".jpg", grey[:, :, ::-1], options)[1].tobytes())
    return jpegs


def test_one_window_and_one_flip_for_all_frames() -> None:
    clip = Clip(frames=5, size=SIZE)
    seen = set()
    for seed in range(40):
        pixels = pipeline.augment(
            tf.constant(_jpegs(5)), clip, tf.constant([seed, 1]), None
        ).numpy()
        numbers = np.rint(pixels / STEP).astype(int)  # rows, columns, frames
        top = numbers[0, 0, 0, 0]
        np.testing.assert_array_equal(
            numbers[..., 0], np.broadcast_to(top + np.arange(SIZE)[:, None], (5, SIZE, SIZE))
        )
        columns = numbers[0, 0, :, 1]
        mirrored = columns[0] > columns[-1]
        left = columns.min()
        expected = left + (np.arange(SIZE)[::-1] if mirrored else np.arange(SIZE))
        np.testing.assert_array_equal(numbers[..., 1], np.broadcast_to(expected, (5, SIZE, SIZE)))
        np.testing.assert_array_equal(numbers[:, 0, 0, 2], np.arange(5))
        seen.add((top, left, bool(mirrored)))
    assert len({top for top, _, _ in seen}) == HEIGHT - SIZE + 1
    assert len({left for _, left, _ in seen}) > 4
    assert {mirrored for _, _, mirrored in seen} == {False, True}


def test_start_crop_and_flip_are_drawn_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def noted(name: str) -> None:
        draw = getattr(pipeline, name)

        def note(*arguments: tf.Tensor) -> tf.Tensor:
            drawn.append(tuple(arguments[-1].numpy()))
            return draw(*arguments)

        monkeypatch.setattr(pipeline, name, note)

    for name in ("clip_start", "random_window", "random_flip"):
        noted(name)
    monkeypatch.setattr(pipeline, "read_frames", lambda path, frames: tf.constant(_jpegs(5)))
    example = {"path": tf.constant("x"), "frames": tf.zeros([9, 2], tf.int64)}
    clip, seed = Clip(frames=5, size=SIZE), tf.constant([3, 4])
    pipeline.augment(pipeline.sample_frames(example, clip, seed), clip, seed, None)
    assert len(drawn) == len(set(drawn)) == 3


def test_decoding_a_window_is_decoding_and_cropping() -> None:
    rng = np.random.default_rng(0)
    frame = cv2.resize(rng.integers(0, 256, (8, 10, 3), np.uint8), (171, 128))
    jpeg = encode_jpeg(frame)
    whole = tf.io.decode_jpeg(jpeg, 3, dct_method="INTEGER_ACCURATE").numpy()
    window = tf.constant([9, 31, 112, 112])
    got = pipeline.decode_frames(tf.constant([jpeg]), window, 112).numpy()[0]
    # Colour is interpolated across the window's edge only where the whole frame is decoded.
    inside = np.s_[1:-1, 1:-1]
    np.testing.assert_array_equal(got[inside], whole[9:121, 31:143][inside])


def test_draws_depend_on_seed_epoch_and_name() -> None:
    draws = {
        tuple(pipeline.draw_seed(seed, epoch, tf.constant(name)).numpy())
        for seed in (0, 1)
        for epoch in (0, 1)
        for name in ("a", "b")
    }
    assert len(draws) == 8


def test_epoch_orders_are_permutations() -> None:
    orders = [pipeline.epoch_order(50, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_range() -> None:
    pixels = pipeline.to_unit_range(tf.constant([0, 51, 255], tf.uint8))
    np.testing.assert_array_equal(pixels, np.array([0, 0.2, 1], np.float32))

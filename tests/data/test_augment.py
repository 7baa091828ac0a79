"""Crop and flip on frames whose pixels are their own coordinates."""

import numpy as np
import tensorflow as tf

from sideways_tf.data.augment import centre_window, random_flip, random_window

HEIGHT, WIDTH, SIZE = 5, 7, 4


def _windows() -> np.ndarray:
    draws = [
        random_window(tf.constant(HEIGHT), tf.constant(WIDTH), SIZE, tf.constant([seed, 0]))
        for seed in range(200)
    ]
    return np.array(draws)


def test_windows_cover_every_place_and_stay_inside() -> None:
    places = {tuple(window) for window in _windows()}
    assert places == {(top, left, SIZE, SIZE) for top in range(2) for left in range(4)}


def test_rows_and_columns_are_drawn_independently() -> None:
    square = [
        random_window(tf.constant(9), tf.constant(9), 2, tf.constant([seed, 0])).numpy()
        for seed in range(40)
    ]
    assert any(window[0] != window[1] for window in square)


def test_a_frame_of_the_crop_size_has_one_window() -> None:
    window = random_window(tf.constant(SIZE), tf.constant(SIZE), SIZE, tf.constant([5, 6]))
    assert window.numpy().tolist() == [0, 0, SIZE, SIZE]


def test_centre_window() -> None:
    assert centre_window(tf.constant(128), tf.constant(171), 112).numpy().tolist() == [
        8,
        29,
        112,
        112,
    ]


def test_flip_mirrors_all_frames_or_none() -> None:
    clip = np.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3)
    mirrored = 0
    for seed in range(100):
        flipped = random_flip(tf.constant(clip), tf.constant([seed, 0])).numpy()
        if np.array_equal(flipped, clip[:, :, ::-1]):
            mirrored += 1
        else:
            np.testing.assert_array_equal(flipped, clip)
    # 100 fair draws lie within five standard deviations of one half.
    assert 25 <= mirrored <= 75

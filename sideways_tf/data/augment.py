"""Phases *crop* and *flip*: one draw for all frames of a clip."""

import tensorflow as tf


def random_window(height: tf.Tensor, width: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
    """A square window that lies in the frame, every place equally likely.

    Args:
        height, width: int32 [], of the frame, each at least `size`.
        size: side of the window in pixels.
        seed: int [2] of a stateless draw.

    Returns:
        int32 [4]: top, left, size, size.
    """
    top_seed, left_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2), num=2)
    top = tf.random.stateless_uniform([], top_seed, 0, height - size + 1, tf.int32)
    left = tf.random.stateless_uniform([], left_seed, 0, width - size + 1, tf.int32)
    return tf.stack([top, left, size, size])


def centre_window(height: tf.Tensor, width: tf.Tensor, size: int) -> tf.Tensor:
    """The window in the middle of the frame, int32 [4]; half a pixel is rounded down."""
    return tf.stack([(height - size) // 2, (width - size) // 2, size, size])


def random_flip(frames: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors all of `frames` [..., H, W, C] left to right with probability one half, or none."""
    mirror = tf.random.stateless_uniform([], seed) < 0.5
    return tf.cond(mirror, lambda: tf.reverse(frames, axis=[-2]), lambda: frames)

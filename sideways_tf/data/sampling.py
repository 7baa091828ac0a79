"""Phase *sample*: which frames of a video make a clip."""

import tensorflow as tf

PADDINGS = ("torus", "repeat_last")


def clip_start(num_frames: tf.Tensor, span: int, seed: tf.Tensor) -> tf.Tensor:
    """First frame of a clip of `span` contiguous frames.

    Every start at which the clip fits is equally likely; a video shorter than the clip starts at
    its first frame.

    Args:
        num_frames: int [], frames of the video, at least 1.
        span: frames the clip covers before striding.
        seed: int [2] of a stateless draw.

    Returns:
        int32 [] in [0, max(0, num_frames - span)].
    """
    starts = tf.maximum(tf.cast(num_frames, tf.int32) - span, 0) + 1
    return tf.random.stateless_uniform([], seed, 0, starts, tf.int32)


def clip_indices(
    num_frames: tf.Tensor, start: tf.Tensor, frames: int, stride: int, padding: str
) -> tf.Tensor:
    """Indices of the frames of a clip.

    Stride s takes s times as many contiguous frames, pads, and keeps every s-th (section 4.4 of
    the paper). Torus padding: past its end the video continues at its first frame.

    Args:
        num_frames: int [], frames of the video, at least 1.
        start: int32 [] in [0, num_frames).
        frames: frames of the clip, K.
        stride: 1 keeps all frames.
        padding: `torus`, or `repeat_last`, which holds the last frame.

    Returns:
        int32 [frames] in [0, num_frames).
    """
    running = start + tf.range(0, frames * stride, stride, tf.int32)
    num_frames = tf.cast(num_frames, tf.int32)
    if padding == "torus":
        return running % num_frames
    if padding == "repeat_last":
        return tf.minimum(running, num_frames - 1)
    raise ValueError(f"padding {padding!r} is none of {PADDINGS}")

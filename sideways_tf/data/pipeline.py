"""Stored examples -> clips [B, K, H, W, 3]: read, sample, decode, crop, flip, batch."""

import os

import numpy as np
import tensorflow as tf

from sideways_tf.data.augment import centre_window, random_flip, random_window
from sideways_tf.data.clip import Clip
from sideways_tf.data.records import Example, RecordIndex, find_example, read_frames
from sideways_tf.data.sampling import clip_indices, clip_start

# One batch is computed on, one is ready, one is being made.
PREFETCHED_BATCHES = 2
# Fixed: tf.data's own tuning starts from one call anew in each epoch.
PARALLEL_CALLS = 2 * len(os.sched_getaffinity(0))
DCT_METHOD = "INTEGER_ACCURATE"

FrameSize = tuple[tf.Tensor, tf.Tensor]
"""Height and width, int32 []."""


def epoch_order(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    """The permutation of the examples in one epoch, int64 [num_examples]."""
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


def draw_seed(seed: int, epoch: int, name: tf.Tensor) -> tf.Tensor:
    """Seed of an example's draws, int32 [2]: of the run, the epoch and the example's name alone."""
    run = tf.random.experimental.stateless_fold_in([seed, 0], epoch)
    return tf.random.experimental.stateless_fold_in(
        run, tf.strings.to_hash_bucket_fast(name, 2**31 - 1)
    )


def clip_seeds(seed: tf.Tensor) -> list[tf.Tensor]:
    """Seeds, int32 [2] each, of a clip's start, crop and flip."""
    return tf.unstack(tf.random.experimental.stateless_split(seed, 3), num=3)


def decode_frames(
    jpegs: tf.Tensor, window: tf.Tensor, size: int, resized: FrameSize | None = None
) -> tf.Tensor:
    """Phases *decode* and *crop*: JPEG strings [n] -> uint8 [n, size, size, 3] inside `window`.

    Where `resized` is given, the whole frame is brought to that size before it is cropped.
    """

    def decode(jpeg: tf.Tensor) -> tf.Tensor:
        if resized is None:
            return tf.io.decode_and_crop_jpeg(jpeg, window, channels=3, dct_method=DCT_METHOD)
        frame = tf.io.decode_jpeg(jpeg, channels=3, dct_method=DCT_METHOD)
        small = tf.image.resize(frame, resized, "area")
        cropped = tf.slice(small, [window[0], window[1], 0], [size, size, 3])
        return tf.cast(tf.round(cropped), tf.uint8)

    return tf.map_fn(decode, jpegs, fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8))


def sample_frames(example: Example, clip: Clip, seed: tf.Tensor) -> tf.Tensor:
    """Phases *sample* and *read*: JPEG strings [K] of a clip."""
    num_frames = tf.shape(example["frames"])[0]
    start_seed, _, _ = clip_seeds(seed)
    start = clip_start(num_frames, clip.frames * clip.stride, start_seed)
    indices = clip_indices(num_frames, start, clip.frames, clip.stride, clip.padding)
    return read_frames(example["path"], tf.gather(example["frames"], indices))


def augment(
    jpegs: tf.Tensor, clip: Clip, seed: tf.Tensor, shorter_side: int | None, flips: bool = True
) -> tf.Tensor:
    """Phases *decode* to *flip* of a clip's JPEG strings [K]: uint8 [K, size, size, 3]."""
    _, crop_seed, flip_seed = clip_seeds(seed)
    stored, resized = _frame_sizes(jpegs, shorter_side)
    window = random_window(*(resized or stored), clip.size, crop_seed)
    frames = decode_frames(jpegs, window, clip.size, resized)
    return random_flip(frames, flip_seed) if flips else frames


def train_batches(
    records: RecordIndex,
    clip: Clip,
    *,
    seed: int,
    epoch: int,
    skip: int,
    batch_size: int,
    shorter_side: int | None = None,
    flips: bool = True,
) -> tf.data.Dataset:
    """One epoch of clips float32 [B, K, size, size, 3] in [0, 1] and labels int32 [B].

    Every draw is a function of (seed, epoch, example), so an epoch repeats bit for bit, and from
    batch `skip` on equals the whole epoch from there on.
    """

    def example_clip(*location: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = find_example(*location)
        seeds = draw_seed(seed, epoch, example["name"])
        jpegs = sample_frames(example, clip, seeds)
        pixels = augment(jpegs, clip, seeds, shorter_side, flips)
        return pixels, tf.cast(example["label"], tf.int32)

    def unit_range(clips: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shape = [batch_size, clip.frames, clip.size, clip.size, 3]
        return tf.ensure_shape(to_unit_range(clips), shape), labels

    order = epoch_order(len(records), seed, epoch)[skip * batch_size :]
    clips = (
        records.take(order)
        .dataset()
        .map(example_clip, num_parallel_calls=PARALLEL_CALLS, deterministic=True)
    )
    batches = clips.batch(batch_size, drop_remainder=True).map(unit_range)
    return untuned(batches.prefetch(PREFETCHED_BATCHES))


def pieces(
    records: RecordIndex, clip: Clip, length: int | None = None, shorter_side: int | None = None
) -> tf.data.Dataset:
    """All videos in stored order, each in pieces of `length` frames, the last one of the rest.

    The crop is the centre's; of the frames every stride-th is kept, from the first. None gives
    each video in one piece; else memory does not grow with the length of a video.

    Yields:
        Frames float32 [n, size, size, 3] in [0, 1]; label int32 []; name string []; whether it is
        the last piece of its video, bool [].
    """

    def cut(*location: tf.Tensor) -> tf.data.Dataset:
        example = find_example(*location)
        frames = example["frames"][:: clip.stride]
        count = tf.shape(frames, tf.int64)[0]
        step = tf.cast(length, tf.int64) if length else count

        def piece(start: tf.Tensor) -> tuple[tf.Tensor, ...]:
            end = start + step
            part = frames[start:end]
            return example["path"], part, example["label"], example["name"], end >= count

        return tf.data.Dataset.range(0, count, step).map(piece)

    def decode(
        path: tf.Tensor, part: tf.Tensor, label: tf.Tensor, name: tf.Tensor, last: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        jpegs = read_frames(path, part)
        stored, resized = _frame_sizes(jpegs, shorter_side)
        window = centre_window(*(resized or stored), clip.size)
        frames = decode_frames(jpegs, window, clip.size, resized)
        return to_unit_range(frames), tf.cast(label, tf.int32), name, last

    parts = records.dataset().flat_map(cut)
    decoded = parts.map(decode, num_parallel_calls=PARALLEL_CALLS, deterministic=True)
    return untuned(decoded.prefetch(PREFETCHED_BATCHES))


def untuned(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Without tf.data's tuning, which has nothing to choose where all numbers are fixed.

    When an epoch ends, its thread may be missed by the cancellation and sleep on, up to a minute,
    while its iterator waits for it.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


def names(records: RecordIndex) -> tf.data.Dataset:
    """The names of all videos, string [], in stored order."""
    return records.dataset().map(
        lambda *location: find_example(*location)["name"],
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def to_unit_range(pixels: tf.Tensor) -> tf.Tensor:
    """uint8 in [0, 255] -> float32 in [0, 1]."""
    return tf.cast(pixels, tf.float32) / 255.0


def _frame_sizes(jpegs: tf.Tensor, shorter_side: int | None) -> tuple[FrameSize, FrameSize | None]:
    """Of all frames of a video: as stored, and as resized to `shorter_side` where that is given."""
    shape = tf.io.extract_jpeg_shape(jpegs[0])
    stored = shape[0], shape[1]
    if shorter_side is None:
        return stored, None
    scale = shorter_side / tf.minimum(*stored)
    height, width = (tf.cast(tf.round(tf.cast(n, tf.float64) * scale), tf.int32) for n in stored)
    return stored, (height, width)

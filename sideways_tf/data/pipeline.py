"""Stored examples -> clips [K, B, H, W, 3]: read, sample, decode, crop, flip, batch."""

import os

import numpy as np
import tensorflow as tf

from sideways_tf.data.augment import centre_window, random_flip, random_window
from sideways_tf.data.clip import Clip
from sideways_tf.data.records import RecordIndex, read_record
from sideways_tf.data.sampling import clip_indices, clip_start

# One batch is computed on, one is ready, one is being made.
PREFETCHED_BATCHES = 2
# Fixed: tf.data's own tuning starts from one call anew in each epoch.
PARALLEL_CALLS = 2 * len(os.sched_getaffinity(0))

Example = dict[str, tf.Tensor]
"""`video`: JPEG strings [N]; `label`: int64 []; `name`: string []."""


def epoch_order(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    """The permutation of the examples in one epoch, int64 [num_examples]."""
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


def draw_seed(seed: int, epoch: int, name: tf.Tensor) -> tf.Tensor:
    """Seed of an example's draws, int32 [2]: of the run, the epoch and the example's name alone."""
    run = tf.random.experimental.stateless_fold_in([seed, 0], epoch)
    return tf.random.experimental.stateless_fold_in(
        run, tf.strings.to_hash_bucket_fast(name, 2**31 - 1)
    )


def parse_example(record: tf.Tensor) -> Example:
    """Reads a stored example without decoding a frame.

    TFDS's own parser would run a loop over all frames of the video, sampled or not.
    """
    features = {
        "video": tf.io.RaggedFeature(tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
        "name": tf.io.FixedLenFeature([], tf.string),
    }
    return tf.io.parse_single_example(record, features)


def clip_seeds(seed: tf.Tensor) -> list[tf.Tensor]:
    """Seeds, int32 [2] each, of a clip's start, crop and flip."""
    return tf.unstack(tf.random.experimental.stateless_split(seed, 3), num=3)


def decode_frames(jpegs: tf.Tensor, window: tf.Tensor, size: int) -> tf.Tensor:
    """Phases *decode* and *crop*: JPEG strings [K] -> uint8 [K, size, size, 3] inside `window`."""
    return tf.map_fn(
        lambda jpeg: tf.io.decode_and_crop_jpeg(
            jpeg, window, channels=3, dct_method="INTEGER_ACCURATE"
        ),
        jpegs,
        fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8),
    )


def sample_frames(video: tf.Tensor, clip: Clip, seed: tf.Tensor) -> tf.Tensor:
    """Phase *sample*: JPEG strings [N] of a video -> those of a clip, [K]."""
    num_frames = tf.size(video)
    start = clip_start(num_frames, clip.frames * clip.stride, seed)
    return tf.gather(video, clip_indices(num_frames, start, clip.frames, clip.stride, clip.padding))


def make_clip(example: Example, clip: Clip, seed: tf.Tensor) -> tf.Tensor:
    """Phases *sample* to *flip* of one example: uint8 [K, size, size, 3]."""
    start_seed, crop_seed, flip_seed = clip_seeds(seed)
    jpegs = sample_frames(example["video"], clip, start_seed)
    height, width = _frame_size(jpegs)
    window = random_window(height, width, clip.size, crop_seed)
    return random_flip(decode_frames(jpegs, window, clip.size), flip_seed)


def train_batches(
    records: RecordIndex,
    clip: Clip,
    *,
    seed: int,
    epoch: int,
    skip: int,
    batch_size: int,
) -> tf.data.Dataset:
    """One epoch of clips float32 [K, B, size, size, 3] in [0, 1] and labels int32 [B].

    Every draw is a function of (seed, epoch, example), so an epoch repeats bit for bit, and from
    batch `skip` on equals the whole epoch from there on.
    """

    def example_clip(*location: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = parse_example(read_record(*location))
        seeds = draw_seed(seed, epoch, example["name"])
        return make_clip(example, clip, seeds), tf.cast(example["label"], tf.int32)

    def time_major(clips: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return to_unit_range(tf.transpose(clips, [1, 0, 2, 3, 4])), labels

    order = epoch_order(len(records), seed, epoch)[skip * batch_size :]
    clips = (
        records.take(order)
        .dataset()
        .map(example_clip, num_parallel_calls=PARALLEL_CALLS, deterministic=True)
    )
    batches = clips.batch(batch_size, drop_remainder=True).map(time_major)
    return untuned(batches.prefetch(PREFETCHED_BATCHES))


def whole_videos(records: RecordIndex, clip: Clip) -> tf.data.Dataset:
    """All videos in stored order: frames float32 [N, size, size, 3] in [0, 1], label, name.

    The crop is the centre's; of the frames every stride-th is kept, from the first.
    """

    def example_video(*location: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        example = parse_example(read_record(*location))
        height, width = _frame_size(example["video"])
        jpegs = example["video"][:: clip.stride]
        frames = decode_frames(jpegs, centre_window(height, width, clip.size), clip.size)
        return (
            to_unit_range(frames),
            tf.cast(example["label"], tf.int32),
            example["name"],
        )

    videos = records.dataset().map(
        example_video, num_parallel_calls=PARALLEL_CALLS, deterministic=True
    )
    return untuned(videos.prefetch(PREFETCHED_BATCHES))


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
        lambda *location: parse_example(read_record(*location))["name"],
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def to_unit_range(pixels: tf.Tensor) -> tf.Tensor:
    """uint8 in [0, 255] -> float32 in [0, 1]."""
    return tf.cast(pixels, tf.float32) / 255.0


def _frame_size(jpegs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width, int32 []; all frames of a video have one size."""
    shape = tf.io.extract_jpeg_shape(jpegs[0])
    return shape[0], shape[1]

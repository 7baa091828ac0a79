"""Measure the input pipeline: alone, against bare decoding, and while a network trains.

    sideways bench input --dataset=ucf101 --data_dir=DATA --frames=64 --size=112

Takes the flags of training. Bare decoding works on the JPEG strings of the very frames that the
pipeline samples, held in memory, on all cores, and does nothing else with them.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sideways_tf.errors import UserError
from sideways_tf.runs import options
from sideways_tf.runs.config import Config
from sideways_tf.runs.from_flags import define_flags, from_flags

if TYPE_CHECKING:
    import tensorflow as tf

    from sideways_tf.data import VideoDataset

FLAGS, define = options.new_flags()
define_flags(FLAGS)
define("batches", 24, "batches measured in each round", low=2)
define("rounds", 3, "rounds, of which the median counts", low=1)
define("iterations", 10, "training iterations measured; 0: none", low=0)


def main() -> None:
    """Prints clips per second of each way, and the share of training spent waiting."""
    # TensorFlow takes seconds to import: --help and mistyped flags should not wait for it.
    from sideways_tf.runs import make

    chosen = from_flags(FLAGS)
    make.start_tensorflow(chosen)
    dataset = make.load_dataset(chosen)
    wanted = FLAGS.batches
    if wanted * chosen.batch_size > dataset.num_train:
        raise UserError(
            f"--batches={wanted}: {chosen.dataset} has {dataset.num_train} training videos, "
            f"{dataset.num_train // chosen.batch_size} batches; give at most these"
        )
    clips = sampled_jpegs(chosen, dataset, wanted)
    ways: dict[str, Callable[[], Any]] = {
        "input pipeline": lambda: deque(make.train_batches(chosen, dataset, 0).take(wanted), 0),
        "bare JPEG decode (TensorFlow)": lambda: decode_by_tensorflow(clips),
        "bare JPEG decode (OpenCV)": lambda: decode_by_opencv(clips),
    }
    figures = measure(ways, len(clips), FLAGS.rounds)
    for way, (speed, cost) in figures.items():
        print(
            f"{way:32s}{speed:8.1f} clips/s{speed * chosen.frames:9.0f} frames/s"
            f"{1000 * cost:8.2f} ms CPU a clip{figures['input pipeline'][0] / speed:7.2f}"
        )
    print("the last column is the pipeline's speed over that way's")
    if FLAGS.iterations:
        waited = waiting_share(chosen, dataset, FLAGS.iterations)
        print(f"waiting for data in training    {100 * waited:8.2f} % of {FLAGS.iterations} steps")


def sampled_jpegs(chosen: Config, dataset: VideoDataset, batches: int) -> list[np.ndarray]:
    """JPEG strings [K] of clips as long and as many as the pipeline's."""
    from sideways_tf.data import pipeline
    from sideways_tf.data.records import find_example
    from sideways_tf.runs.make import clip_of

    clip = clip_of(chosen)
    records = dataset.records["train"]
    order = pipeline.epoch_order(len(records), chosen.seed, 0)[: batches * chosen.batch_size]

    def sample(*location: tf.Tensor) -> tf.Tensor:
        example = find_example(*location)
        seed = pipeline.draw_seed(chosen.seed, 0, example["name"])
        return pipeline.sample_frames(example, clip, pipeline.clip_seeds(seed)[0])

    return list(records.take(order).dataset().map(sample).as_numpy_iterator())


def decode_by_tensorflow(clips: list[np.ndarray]) -> None:
    """Decodes whole frames in tf.data's parallel map."""
    import tensorflow as tf

    jpegs = tf.data.Dataset.from_tensor_slices(np.concatenate(clips))
    frames = jpegs.map(
        lambda jpeg: tf.io.decode_jpeg(jpeg, 3, dct_method="INTEGER_ACCURATE"),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    # The reduction keeps the frames inside TensorFlow: Python would take longer than the decoder.
    frames.reduce(np.int64(0), lambda count, frame: count + tf.size(frame, tf.int64))


def decode_by_opencv(clips: list[np.ndarray]) -> None:
    """Decodes whole frames in one thread for each core."""

    def decode(clip: np.ndarray) -> None:
        for jpeg in clip:
            cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(decode, clips))


def measure(
    ways: dict[str, Callable[[], Any]], clips: int, rounds: int
) -> dict[str, tuple[float, float]]:
    """Clips per second, and CPU seconds of a clip: medians of rounds in which all take turns."""
    for run in ways.values():
        run()  # files into memory, graphs traced
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            run()
            seconds[way].append((time.perf_counter() - start, time.process_time() - cpu_start))
    medians = {way: np.median(spent, axis=0) for way, spent in seconds.items()}
    return {way: (clips / wall, cpu / clips) for way, (wall, cpu) in medians.items()}


def waiting_share(chosen: Config, dataset: VideoDataset, iterations: int) -> float:
    """Share of the time of training that passes until the next batch is there."""
    from sideways_tf.runs import make

    model = make.make_model(chosen, dataset)
    epochs = (make.train_batches(chosen, dataset, epoch) for epoch in itertools.count())
    batches = itertools.chain.from_iterable(epochs)
    model.train_on_batch(*next(batches))
    waited = 0.0
    start = time.perf_counter()
    for _ in range(iterations):
        asked = time.perf_counter()
        clips, labels = next(batches)
        waited += time.perf_counter() - asked
        model.train_on_batch(clips, labels)  # returns numbers: waits until the update is done
    return waited / (time.perf_counter() - start)

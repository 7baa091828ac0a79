"""Measure the input pipeline: alone, against bare decoding, and while a network trains.

    python tools/benchmark_input.py --dataset=ucf101 --data_dir=DATA --frames=64 --size=112

Takes the flags of training. Bare decoding works on the JPEG strings of the very frames that the
pipeline samples, held in memory, on all cores, and does nothing else with them.
"""

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sideways_tf import cli, config
from sideways_tf.config import Config
from sideways_tf.errors import UserError

config.define_flags()
flags.adopt_module_key_flags(config)
_BATCHES = flags.DEFINE_integer("batches", 24, "batches measured in each round", 2)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "rounds, of which the median counts", 1)
_ITERATIONS = flags.DEFINE_integer("iterations", 10, "training iterations measured; 0: none", 0)


def main() -> None:
    """Prints clips per second of each way, and the share of training spent waiting."""
    # TensorFlow takes seconds to import: --help and mistyped flags should not wait for it.
    from sideways_tf.training import run

    chosen = config.from_flags()
    run.start_tensorflow(chosen)
    dataset = run.load_dataset(chosen)
    wanted = _BATCHES.value
    if wanted * chosen.batch_size > dataset.num_train:
        raise UserError(
            f"--batches={wanted}: {chosen.dataset} has {dataset.num_train} training videos, "
            f"{dataset.num_train // chosen.batch_size} batches; give at most these"
        )
    clips = sampled_jpegs(chosen, dataset, wanted)
    ways: dict[str, Callable[[], None]] = {
        "input pipeline": lambda: consume(train_batches(chosen, dataset, epoch=0), wanted),
        "bare JPEG decode (TensorFlow)": lambda: decode_by_tensorflow(clips),
        "bare JPEG decode (OpenCV)": lambda: decode_by_opencv(clips),
    }
    figures = measure(ways, len(clips), _ROUNDS.value)
    for way, (speed, cost) in figures.items():
        print(
            f"{way:32s}{speed:8.1f} clips/s{speed * chosen.frames:9.0f} frames/s"
            f"{1000 * cost:8.2f} ms CPU a clip{figures['input pipeline'][0] / speed:7.2f}"
        )
    print("the last column is the pipeline's speed over that way's")
    if _ITERATIONS.value:
        waited = waiting_share(chosen, dataset, _ITERATIONS.value)
        print(f"waiting for data in training    {100 * waited:8.2f} % of {_ITERATIONS.value} steps")


def train_batches(chosen: Config, dataset, epoch: int):  # type: ignore[no-untyped-def]
    """The batches that training takes."""
    from sideways_tf.training import run

    return dataset.train_batches(
        run.clip(chosen), seed=chosen.seed, epoch=epoch, batch_size=chosen.batch_size
    )


def sampled_jpegs(chosen: Config, dataset, num_batches: int) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
    """JPEG strings [K] of clips as long and as many as the pipeline's."""
    from sideways_tf.data import pipeline
    from sideways_tf.data.records import find_example
    from sideways_tf.training import run

    records = dataset.records["train"]
    order = pipeline.epoch_order(len(records), chosen.seed, 0)[: num_batches * chosen.batch_size]

    def sample(*location):  # type: ignore[no-untyped-def]
        example = find_example(*location)
        seed = pipeline.draw_seed(chosen.seed, 0, example["name"])
        return pipeline.sample_frames(example, run.clip(chosen), seed)

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


def consume(batches, count: int) -> None:  # type: ignore[no-untyped-def]
    """Takes `count` batches and drops them."""
    for _ in batches.take(count):
        pass


def measure(
    ways: dict[str, Callable[[], None]], clips: int, rounds: int
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


def waiting_share(chosen: Config, dataset, iterations: int) -> float:  # type: ignore[no-untyped-def]
    """Share of the time of training that passes until the next batch is there."""
    from sideways_tf.training import run

    update = run.make_update(chosen, dataset)

    def endless() -> Iterator:
        for epoch in itertools.count():
            yield from train_batches(chosen, dataset, epoch)

    batches = endless()
    update(*next(batches))
    waited = 0.0
    start = time.perf_counter()
    for _ in range(iterations):
        asked = time.perf_counter()
        clips, labels = next(batches)
        waited += time.perf_counter() - asked
        _ = float(update(clips, labels).loss)  # waits until the update is done
    return waited / (time.perf_counter() - start)


if __name__ == "__main__":
    cli.run(main)

"""Say what videos show, by a run that was trained to classify.

    sideways predict --workdir=runs/NAME video.mp4 ...
    sideways predict --workdir=runs/NAME --output=labelled.mp4 video.mp4

Prints the five classes of highest mean probability over a video's frames, which go through the
modules as a pipe: on several devices all modules work at once.
"""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sideways_tf.errors import UserError
from sideways_tf.report.caption import caption
from sideways_tf.runs import options

if TYPE_CHECKING:
    from sideways_tf.model import SidewaysModel
    from sideways_tf.runs.config import Config

FLAGS, define = options.new_flags()
define("workdir", "", "run: the folder of the run")
define("data_dir", None, "data: where the videos it was trained on are now")
define("cache_dir", None, "data: where prepared data sets are kept now")
define("csv", "", "output: write video, place, class, probability to this file")
define("output", "", "output: write the video with each frame's class above it, .mp4, .avi or .gif")

TOP = 5
# Frames at once, to bound memory.
PIECE = 256
# Shorter side of the frames in --output, in pixels.
SHOWN_SIDE = 240
_USUAL_RATE = 25.0  # Frames per second, of a video that says none.


def main(words: list[str]) -> None:
    """Print the classes of each of the videos `words`."""
    config, folder = _check(words)
    from sideways_tf.runs import make

    make.start_tensorflow(config)
    model, dataset, _ = make.open_trained(config, folder)
    rows = []
    for path in words:
        found = classify(model, config, path)
        mean = found.mean(axis=0)
        best = np.argsort(-mean, kind="stable")[:TOP]
        rows += [(path, n, dataset.class_names[c], f"{mean[c]:.6f}") for n, c in enumerate(best, 1)]
        print(f"{path}: {len(found)} frames")
        for c in best:
            print(f"  {mean[c]:6.1%}  {dataset.class_names[c]}")
        if FLAGS.output:
            write_labelled(path, found, dataset.class_names)
    if FLAGS.csv:
        _write_table(rows)


def _check(words: list[str]) -> tuple[Config, Any]:
    """The configuration and the folder of the run; what is wrong is said before it is opened."""
    from sideways_tf.runs.checks import check_there
    from sideways_tf.runs.folder import RunFolder

    if not FLAGS.workdir:
        raise UserError("--workdir is missing: name the folder of a run, runs/NAME")
    check_there("data_dir", FLAGS.data_dir)
    if not words:
        raise UserError("name one or more videos")
    if FLAGS.output and len(words) > 1:
        raise UserError(f"--output={FLAGS.output} is for one video, {len(words)} are named")
    missing = [word for word in words if not Path(word).is_file()]
    if missing:
        raise UserError(f"{missing[0]} is no file: name a video")
    folder = RunFolder(FLAGS.workdir)
    moved = {"data_dir": FLAGS.data_dir, "cache_dir": FLAGS.cache_dir}
    given = {name: value for name, value in moved.items() if value is not None}
    config = dataclasses.replace(folder.config(), **given)
    if config.autoencodes:
        raise UserError(f"workdir={folder.path} is of --model=autoencoder, which knows no classes")
    return config, folder


def classify(model: SidewaysModel, config: Config, path: str) -> np.ndarray:
    """Class probabilities of each frame of a video that the run would test on, float [N, classes].

    Frames are prepared as those of test videos: shorter side, stride, centre crop, [0, 1].
    """
    import tensorflow as tf

    kept = [crop for n, crop in enumerate(_crops(path, config)) if n % config.stride == 0]
    found = []
    for start in range(0, len(kept), PIECE):
        before = min(start, model.wiring.history)  # Frames that the first outputs need, too.
        frames = tf.cast(np.stack(kept[start - before : start + PIECE]), tf.float32) / 255.0
        scores = tf.cast(model.predict_stream(frames)[before:], tf.float32)
        found.append(tf.nn.softmax(scores).numpy())
    return np.concatenate(found)


def _crops(path: str, config: Config) -> Iterator[np.ndarray]:
    """The centre of each frame, uint8 [size, size, 3] RGB."""
    from sideways_tf.data.augment import centre_window
    from sideways_tf.data.video_files import resize_shorter_side

    for frame in _frames(path):
        frame = resize_shorter_side(frame, config.shorter_side)
        rows, columns = frame.shape[:2]
        if min(rows, columns) < config.size:
            raise UserError(
                f"{path}: its frames are {columns}x{rows}, the run takes crops of "
                f"{config.size}: name a larger video"
            )
        top, left, height, width = centre_window(rows, columns, config.size).numpy()
        yield frame[top : top + height, left : left + width]


def _frames(path: str) -> Iterator[np.ndarray]:
    """uint8 [H, W, 3] RGB."""
    from sideways_tf.data.video_files import VideoError, VideoFile

    try:
        yield from VideoFile(path).frames()
    except VideoError as error:
        raise UserError(f"{path}: {error}") from None


def write_labelled(path: str, probabilities: np.ndarray, names: list[str]) -> None:
    """--output: each frame that was classified below its most probable class."""
    from sideways_tf.data.video_files import VideoFile, resize_shorter_side
    from sideways_tf.report.reconstruction_pictures import write_animation

    frames = list(_frames(path))
    stride = -(-len(frames) // len(probabilities))
    labelled = []
    for frame, found in zip(frames[::stride], probabilities, strict=True):
        small = resize_shorter_side(frame, min(SHOWN_SIDE, min(frame.shape[:2])))
        best = found.argmax()
        labelled.append(
            np.concatenate([caption(f"{found[best]:.0%} {names[best]}", small.shape[1]), small])
        )
    rate = (VideoFile(path).header.rate or _USUAL_RATE) / stride
    write_animation(Path(FLAGS.output), labelled, rate)
    print(FLAGS.output, file=sys.stderr)


def _write_table(rows: list[tuple]) -> None:
    try:
        with Path(FLAGS.csv).open("w", newline="") as file:
            csv.writer(file).writerows([("video", "place", "class", "probability"), *rows])
    except OSError as error:
        raise UserError(f"--csv={FLAGS.csv}: cannot be written ({error.strerror})") from None

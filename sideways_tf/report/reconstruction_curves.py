"""TensorBoard tags of auto-encoding, and the curve of the test error over stream frames.

train/  loss, learning_rate, steps_per_second (here clips)    by iteration
        gradient_mean/module_1 .., gradient_norm/module_1 ..  of one step's pseudo-gradients
test/   error, source_error, floor, latency_floor             by iteration
        shown (image): truth above what the stream shows      by iteration
"""

from __future__ import annotations

import json
import pathlib

import numpy as np
import tensorflow as tf

from sideways_tf.report.reconstruction import Reconstruction
from sideways_tf.training.stream_update import StreamMetrics
from sideways_tf.whole_file import write_whole


class ReconstructionCurves:
    """Writes the curves of one run below its folder, and keeps test errors in curve.json."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._train = tf.summary.create_file_writer(str(folder / "train"))
        self._test = tf.summary.create_file_writer(str(folder / "test"))

    def training(
        self, iteration: int, metrics: StreamMetrics, learning_rate: float, steps_per_second: float
    ) -> None:
        """One point of each training curve."""
        with self._train.as_default(iteration):
            tf.summary.scalar("loss", metrics.loss)
            tf.summary.scalar("learning_rate", learning_rate)
            tf.summary.scalar("steps_per_second", steps_per_second)
            for i, (mean, norm) in enumerate(
                zip(metrics.gradient_mean, metrics.gradient_norm, strict=True), 1
            ):
                tf.summary.scalar(f"gradient_mean/module_{i}", mean)
                tf.summary.scalar(f"gradient_norm/module_{i}", norm)

    def test(self, iteration: int, stream_frames: int, found: Reconstruction) -> None:
        """One point of each test curve; a point of the same iteration or later is replaced."""
        errors = found.mean(found.algorithm)._asdict()
        with self._test.as_default(iteration):
            for name, value in errors.items():
                tf.summary.scalar(name, value)
        kept = [point for point in self.points() if point["iteration"] < iteration]
        kept.append({"iteration": iteration, "stream_frames": stream_frames, **errors})
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, json.dumps(kept, indent=1) + "\n")
        self.flush()

    def picture(self, iteration: int, picture: np.ndarray) -> None:
        """An image, uint8 [H, W, 3]: rows of truth and of what is shown."""
        with self._test.as_default(iteration):
            tf.summary.image("shown", picture[np.newaxis])

    def points(self) -> list[dict]:
        """The test errors so far, by iteration."""
        return json.loads(self._path.read_text()) if self._path.exists() else []

    def flush(self) -> None:
        """Bring everything to disk."""
        self._train.flush()
        self._test.flush()

    @property
    def _path(self) -> pathlib.Path:
        return self._folder / "curve.json"

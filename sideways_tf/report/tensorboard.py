"""Every TensorBoard tag, and a layout for the page "Custom Scalars".

train/  loss, accuracy, learning_rate, steps_per_second       by iteration
        gradient_mean/module_1 .., gradient_norm/module_1 ..  of the averaged gradients, which in
                                                              Sideways are pseudo-gradients
        cosine/module_1 .., norm_ratio/module_1 ..            with --diagnose_every: of the batch
                                                              whose update makes that iteration
test/   video_accuracy, frame_accuracy, loss                  by iteration
"""

from __future__ import annotations

import pathlib

import tensorflow as tf

from sideways_tf.report.accuracy import Accuracy
from sideways_tf.report.layout import run_layout, write_layout
from sideways_tf.training.diagnosis import Agreement
from sideways_tf.training.update import Metrics


class Curves:
    """Writes the curves of one run of D = `depth` modules below its folder."""

    def __init__(self, folder: pathlib.Path, depth: int):
        write_layout(folder, run_layout(depth))
        self._train = tf.summary.create_file_writer(str(folder / "train"))
        self._test = tf.summary.create_file_writer(str(folder / "test"))

    def training(
        self, iteration: int, metrics: Metrics, learning_rate: float, steps_per_second: float
    ) -> None:
        """One point of each training curve."""
        with self._train.as_default(iteration):
            tf.summary.scalar("loss", metrics.loss)
            tf.summary.scalar("accuracy", metrics.accuracy)
            tf.summary.scalar("learning_rate", learning_rate)
            tf.summary.scalar("steps_per_second", steps_per_second)
            for i, (mean, norm) in enumerate(
                zip(metrics.gradient_mean, metrics.gradient_norm, strict=True), 1
            ):
                tf.summary.scalar(f"gradient_mean/module_{i}", mean)
                tf.summary.scalar(f"gradient_norm/module_{i}", norm)

    def diagnosis(self, iteration: int, agreement: Agreement) -> None:
        """One point of each curve that compares pseudo-gradients with true gradients."""
        with self._train.as_default(iteration):
            for i, (cosine, ratio) in enumerate(zip(*agreement, strict=True), 1):
                tf.summary.scalar(f"cosine/module_{i}", cosine)
                tf.summary.scalar(f"norm_ratio/module_{i}", ratio)

    def test(self, iteration: int, accuracy: Accuracy) -> None:
        """One point of each test curve."""
        with self._test.as_default(iteration):
            tf.summary.scalar("video_accuracy", accuracy.video)
            tf.summary.scalar("frame_accuracy", accuracy.frame)
            tf.summary.scalar("loss", accuracy.loss)
        self.flush()

    def flush(self) -> None:
        """Bring everything to disk."""
        self._train.flush()
        self._test.flush()

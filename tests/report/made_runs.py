"""Runs as `sideways_tf.train` leaves them, made without training."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import tensorflow as tf

from sideways_tf.report.accuracy import Accuracy
from sideways_tf.report.card import write_cards
from sideways_tf.report.curves import TestCurves
from sideways_tf.report.layout import run_layout
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder
from sideways_tf.runs.read import AUTOENCODING

DEPTH = 3


def value_at(step: int) -> float:
    """The loss at an iteration, exact in float32: it identifies itself."""
    return step / 8


def make_run(
    path: pathlib.Path,
    config: Config,
    steps: range = range(1, 9),
    finished: bool = True,
    accuracy: float = 0.5,
    diagnosed: bool = False,
    value: Callable[[int], float] = value_at,
) -> pathlib.Path:
    """A run of len(steps) iterations.

    At iteration n the loss is value(n), training accuracy its fraction; module i has the gradient
    mean i * value(n), norm 10 * i, and, `diagnosed`, cosine 1 - 1 / (1 + i) and norm ratio i. The
    test finds `accuracy` of 100 videos, at the end.
    """
    folder = RunFolder(path)
    folder.claim(config)
    write_cards(path, config.recipe, run_layout(DEPTH))
    by_module = {"gradient_mean": lambda i, n: i * value(n), "gradient_norm": lambda i, n: 10 * i}
    if diagnosed:
        by_module["gradient_cosine"] = lambda i, n: 1 - 1 / (1 + i)
        by_module["gradient_norm_ratio"] = lambda i, n: i
    writer = tf.summary.create_file_writer(str(path / "train"))
    for n in steps:
        scalars = {"fit/loss": value(n), "fit/frame_accuracy": value(n) % 1}
        scalars |= {"rate/learning_rate": 1e-4, "rate/steps_per_second": 2.0}
        for name, of in by_module.items():
            scalars |= {f"{name}/module_{i}": of(i, n) for i in range(1, DEPTH + 1)}
        with writer.as_default(n):
            for name, number in scalars.items():
                tf.summary.scalar(name, float(number))
    writer.close()
    if finished:
        report = Accuracy()
        for video in range(100):
            report.add(0, int(video >= round(100 * accuracy)), 4, 2, 0.7)
        found = {"video_accuracy": report.video, "frame_accuracy": report.frame}
        TestCurves(path).scalars(steps[-1], {**found, "loss": report.loss})
        folder.finish(
            {
                "configuration": config.plain(), "seed": config.seed, "iterations": steps[-1],
                "train_videos": 320, "test_videos": 100, "train_loss": value(steps[-1]),
                "test_video_accuracy": report.video, "test_frame_accuracy": report.frame,
                "test_loss": report.loss,
                **dict.fromkeys(AUTOENCODING if config.autoencodes else (), 0.5),
            }
        )  # fmt: skip
    return path

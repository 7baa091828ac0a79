"""Runs as `sideways_tf.train` leaves them, made without training."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import tensorflow as tf

from sideways_tf.report.accuracy import Accuracy
from sideways_tf.report.tensorboard import Curves
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder
from sideways_tf.runs.read import AUTOENCODING
from sideways_tf.training.diagnosis import Agreement
from sideways_tf.training.update import Metrics

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
    curves = Curves(path, DEPTH)
    modules = tf.range(1, DEPTH + 1, dtype=tf.float32)
    for step in steps:
        loss = tf.constant(value(step))
        curves.training(step, Metrics(loss, loss % 1, modules * loss, modules * 10), 1e-4, 2.0)
        if diagnosed:
            curves.diagnosis(step, Agreement(1 - 1 / (1 + modules), modules))
    curves.flush()
    if finished:
        report = Accuracy()
        for video in range(100):
            report.add(0, video < round(100 * accuracy), 4, 2, 0.7)
        curves.test(steps[-1], report)
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

"""Classification or auto-encoding: what to train, by which loop, and how it is tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sideways_tf.data import VideoDataset
from sideways_tf.modules import SidewaysBlock
from sideways_tf.report.accuracy import measure_accuracy
from sideways_tf.report.reconstruction import Network, measure_reconstruction
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder
from sideways_tf.training import autoencoding, run
from sideways_tf.training.loop import Loop


def make_update(config: Config, dataset: VideoDataset) -> Any:
    """What trains on a batch: an `Update`, or a `StreamUpdate` for auto-encoding."""
    task = autoencoding if config.autoencodes else run
    return task.make_update(config, dataset)


def make_loop(config: Config, dataset: VideoDataset, update: Any, folder: RunFolder) -> Loop:
    """The loop around `update`, not yet started."""
    kind = autoencoding.AutoencodingLoop if config.autoencodes else Loop
    return kind(config, dataset, update, folder)


def measure(config: Config, dataset: VideoDataset, modules: Sequence[SidewaysBlock]) -> Any:
    """Test `modules` on the whole test videos: `Accuracy` or `Reconstruction`.

    Both have `videos`, `table(class_names)` and `as_dict(class_names)`.
    """
    videos = dataset.test_videos(run.clip(config))
    if config.autoencodes:
        return measure_reconstruction(Network(modules), config.algorithm, videos, dataset.num_test)
    return measure_accuracy(modules, videos, dataset.num_test)

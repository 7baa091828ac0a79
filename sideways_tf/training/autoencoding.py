"""The auto-encoding task: a stream, its update, its loop."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sideways_tf.data import VideoDataset
from sideways_tf.engines.stream import make_stream
from sideways_tf.networks.autoencoder import pixel_error
from sideways_tf.report import reconstruction_pictures as pictures
from sideways_tf.report.reconstruction import Network, Reconstruction, measure_reconstruction
from sideways_tf.report.reconstruction_curves import ReconstructionCurves
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder
from sideways_tf.training import run
from sideways_tf.training.loop import Loop
from sideways_tf.update_rules import make_optimizer
from sideways_tf.training.stream_update import ByStep, StreamUpdate
from sideways_tf.training.update import Optimizer

PICTURED_VIDEOS = 3


def make_update(config: Config, dataset: VideoDataset) -> StreamUpdate:
    """Stream and optimizers, built and traced, so that all variables exist."""
    per_epoch = run.iterations_per_epoch(config, dataset)
    modules = run.make_modules(config, len(dataset.class_names))
    engine = make_stream(config.algorithm, modules, pixel_error)
    frame = run.frame_spec(config)
    engine.build(frame)

    def make(steps: tf.Variable) -> Optimizer:
        """Rates follow the stream: an epoch is so many computation steps."""
        length = per_epoch * config.frames
        rates = (config.learning_rate, config.weight_decay)
        rate, decay = (ByStep(run.schedule(config, initial, length), steps) for initial in rates)
        return make_optimizer(config.optimizer, rate, decay, config.momentum)

    update = StreamUpdate(
        engine,
        make,
        source_target=source_target(config),
        clip_value=config.clip_value,
        seed=config.seed,
        window=per_epoch,
    )
    update.__call__.get_concrete_function(
        tf.TensorSpec([config.frames, *frame.shape], tf.float32),
        tf.TensorSpec([config.batch_size], tf.int32),
    )
    return update


def source_target(config: Config) -> bool:
    """Whether the target is the frame that the output stems from.

    The paper's y^t: in Sideways the current frame (section 3.4); in BP that of the frame it has
    taken (eq. 1), for it drops those that came since.
    """
    if config.target == "paper":
        return config.algorithm == "bp"
    return config.target == "source"


class AutoencodingLoop(Loop):
    """The loop of `StreamUpdate`; an iteration is a batch of clips, K steps of the stream."""

    @functools.cached_property
    def network(self) -> Network:
        """The network as it is tested."""
        return Network(self.update.engine.modules)

    def make_curves(self, folder: RunFolder) -> ReconstructionCurves:
        return ReconstructionCurves(folder.path)

    def test(self) -> Reconstruction:
        """Reconstruction error over the whole test videos, now; and pictures of a few."""
        algorithm = self.config.algorithm
        found = measure_reconstruction(
            self.network, algorithm, self._videos(), self.dataset.num_test
        )
        rows: list[Sequence[np.ndarray]] = []
        long = self._videos().filter(lambda frames, *_: tf.shape(frames)[0] >= self.network.depth)
        for frames, _, name in long.take(PICTURED_VIDEOS):
            both = pictures.shown(self.network, algorithm, frames, name.numpy().decode())
            rows += [list(pictures.middle(row)) for row in both]
        self.curves.picture(self.done, pictures.tile(rows))
        self.curves.test(self.done, self.done * self.config.frames, found)
        return found

    def figures(self, report: Reconstruction) -> dict[str, Any]:
        own = report.mean(report.algorithm)
        return {
            **{f"test_{name}": value for name, value in own._asdict().items()},
            "stream_frames": self.done * self.config.frames,
            "by_rule": report.as_dict(),
            "test_curve": self.curves.points(),
        }

    def _text(self, metrics: Any) -> dict[str, str]:
        return {"loss": f"{float(metrics.loss):.5f}"}

    def _videos(self) -> tf.data.Dataset:
        return self.dataset.test_videos(run.clip(self.config))

"""How a run is tested: on whole videos, by accuracy or by the error of what a stream shows."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np

from sideways_tf.data import VideoDataset
from sideways_tf.model import SidewaysModel
from sideways_tf.report import reconstruction_pictures as pictures
from sideways_tf.report.accuracy import TOP, Accuracy, measure_accuracy
from sideways_tf.report.curves import TestCurves
from sideways_tf.report.reconstruction import Network, Reconstruction, measure_reconstruction
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder
from sideways_tf.runs.make import clip_of

PICTURED_VIDEOS = 3
# Frames at once, to bound memory: a video may have thousands.
PIECE = 256


class Test(abc.ABC):
    """Tests the model of a run as it is now. Reports have `table`, `as_dict` and `videos`."""

    __test__ = False  # Its name is none of pytest's.

    def __init__(
        self, config: Config, dataset: VideoDataset, model: SidewaysModel, folder: RunFolder
    ):
        self.config, self.dataset, self.model = config, dataset, model
        self.curves = TestCurves(folder.path)

    @abc.abstractmethod
    def measure(self) -> Any:
        """The report, over all test videos."""

    @abc.abstractmethod
    def __call__(self) -> Any:
        """The report, which becomes a point of the curves."""

    @abc.abstractmethod
    def figures(self, report: Any) -> dict[str, Any]:
        """What results.json says of it."""

    @abc.abstractmethod
    def numbers(self, report: Any) -> dict[str, float]:
        """By name: of the curves and of metrics.jsonl."""

    @abc.abstractmethod
    def words(self, report: Any) -> str:
        """The same in a line."""

    @property
    def done(self) -> int:
        """Iterations made."""
        return int(self.model.iteration)


class AccuracyTest(Test):
    """Of classification: accuracies in [0, 1], the loss in nats."""

    def measure(self) -> Accuracy:
        clip = clip_of(self.config)
        if self.model.wiring.history:  # What a piece begins with, it would not see.
            pieces = self.dataset.test_videos(clip).map(lambda *video: (*video, True))
        else:
            pieces = self.dataset.test_pieces(clip, length=PIECE)
        return measure_accuracy(self.model.run_frames, pieces, self.dataset.num_test)

    def __call__(self) -> Accuracy:
        found = self.measure()
        self.curves.scalars(self.done, self.numbers(found))
        return found

    def numbers(self, report: Accuracy) -> dict[str, float]:
        top = {} if report.top is None else {f"video_top{TOP}_accuracy": report.top}
        both = {"video_accuracy": report.video, "frame_accuracy": report.frame}
        return {**both, **top, "loss": report.loss}

    def words(self, report: Accuracy) -> str:
        return (
            f"accuracy of videos {report.video:.1%}, of frames {report.frame:.1%}, "
            f"loss {report.loss:.4g}"
        )

    def figures(self, report: Accuracy) -> dict[str, Any]:
        return {f"test_{name}": value for name, value in self.numbers(report).items()}


class ReconstructionTest(Test):
    """Of auto-encoding, with pictures of a few videos."""

    def measure(self) -> Reconstruction:
        return measure_reconstruction(
            self._network, self.config.algorithm, self._videos(), self.dataset.num_test
        )

    def __call__(self) -> Reconstruction:
        found = self.measure()
        rows: list[Sequence[np.ndarray]] = []
        long = self._videos().filter(lambda frames, *_: len(frames) >= self.model.depth)
        for frames, _, name in long.take(PICTURED_VIDEOS):
            both = pictures.shown(
                self._network, self.config.algorithm, frames, name.numpy().decode()
            )
            rows += [list(pictures.middle(row)) for row in both]
        self.curves.picture(self.done, pictures.tile(rows))
        errors = self.numbers(found)
        self.curves.scalars(self.done, errors)
        frames_seen = {"stream_frames": self.done * self.config.frames}
        self.curves.keep(self.done, {**frames_seen, **errors})
        return found

    def numbers(self, report: Reconstruction) -> dict[str, float]:
        return report.mean(report.algorithm)._asdict()

    def words(self, report: Reconstruction) -> str:
        own = report.mean(report.algorithm)
        return f"mean squared error {own.error:.5f} (floor {own.floor:.5f})"

    def figures(self, report: Reconstruction) -> dict[str, Any]:
        return {
            **{f"test_{name}": value for name, value in self.numbers(report).items()},
            "stream_frames": self.done * self.config.frames,
            "by_rule": report.as_dict(),
            "test_curve": self.curves.points(),
        }

    @property
    def _network(self) -> Network:
        return Network(self.model.run_frames, self.model.depth)

    def _videos(self) -> Any:
        return self.dataset.test_videos(clip_of(self.config))


def make_test(
    config: Config, dataset: VideoDataset, model: SidewaysModel, folder: RunFolder
) -> Test:
    """The test of the configuration's task."""
    kind = ReconstructionTest if config.autoencodes else AccuracyTest
    return kind(config, dataset, model, folder)

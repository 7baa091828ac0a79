"""TensorBoard curves of a run's tests, by iteration, and the points of one kept beside them.

test/   fit/ video_accuracy, frame_accuracy, loss           of classification
        fit/ error, source_error, floor, latency_floor      of auto-encoding
        shown (image)                                       truth above what the stream shows
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from sideways_tf.whole_file import write_whole


class TestCurves:
    """Writes below the folder of a run."""

    __test__ = False  # Its name is none of pytest's.

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._writer = tf.summary.create_file_writer(str(folder / "test"))

    def scalars(self, iteration: int, values: Mapping[str, float]) -> None:
        """One point of each curve."""
        with self._writer.as_default(iteration):
            for name, value in values.items():
                tf.summary.scalar(f"fit/{name}", value)
        self._writer.flush()

    def picture(self, iteration: int, picture: np.ndarray) -> None:
        """An image, uint8 [H, W, 3]: rows of truth and of what is shown."""
        with self._writer.as_default(iteration):
            tf.summary.image("shown", picture[np.newaxis])

    def keep(self, iteration: int, values: Mapping[str, float]) -> None:
        """Keep a point in curve.json; one of the same iteration or later is replaced."""
        kept = [point for point in self.points() if point["iteration"] < iteration]
        kept.append({"iteration": iteration, **values})
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, json.dumps(kept, indent=1) + "\n")

    def points(self) -> list[dict]:
        """What was kept so far, by iteration."""
        return json.loads(self._path.read_text()) if self._path.exists() else []

    @property
    def _path(self) -> pathlib.Path:
        return self._folder / "curve.json"

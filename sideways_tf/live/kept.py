"""What a stream keeps beside the model's own variables, so that it goes on where it stopped."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict

import numpy as np
import tensorflow as tf

from sideways_tf.live.capture import Captured
from sideways_tf.live.meter import Counts


class Kept:
    """The newest frames, the counts and the place in the source, as a checkpoint takes them.

    Attributes:
      frames: the newest, as many as outputs and targets may stem from.
      counts: see `Counts`.
      position: frames of the source that were used; 0 after its end.
      place: for the checkpoint.
    """

    def __init__(self, size: int, frames: int):
        self.frames: deque[Captured] = deque(maxlen=frames)
        self.counts, self.position = Counts(), 0
        self._source = ""
        empty = tf.zeros([0, size, size, 3], tf.uint8)
        self.place = tf.train.Checkpoint(
            frames=tf.Variable(empty, trainable=False, shape=[None, size, size, 3]),
            words=tf.Variable("", trainable=False, dtype=tf.string),
        )

    def write(self, source: str) -> None:
        """Into the variables, before they are saved."""
        if self.frames:
            self.place.frames.assign(np.stack([frame.pixels for frame in self.frames]))
        of_frames = [(frame.number, frame.seconds) for frame in self.frames]
        words = {"counts": asdict(self.counts), "position": self.position, "source": source}
        self.place.words.assign(json.dumps({**words, "frames": of_frames}))

    def read(self, source: str) -> None:
        """Out of the variables, after they were restored; another source begins at its start."""
        text = self.place.words.numpy()
        if not text:
            return
        words = json.loads(text)
        self.counts = Counts(**words["counts"])
        self.position = words["position"] if words["source"] == source else 0
        pixels = self.place.frames.numpy()
        for (number, seconds), frame in zip(words["frames"], pixels, strict=True):
            self.frames.append(Captured(number, seconds, frame, float("nan")))

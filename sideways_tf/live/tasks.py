"""What is to be learnt from a stream: which frame and target meet at a step, and what an error is.

At computation step t the pipe takes a frame and is given a target; what it shows stems from an
earlier frame, D - 1 steps ago. N is the horizon, in frames that the network has taken in:

    task          frame      target                                  shown at t
    reconstruct   x^t        x^t (blocked BP: that of its frame)     the frame at hand
    predict       x^(t-N)    x^t                                     the frame at step t + N
    classify      x^t        the class of x^t (of its frame)         the class at hand

The frame to be predicted comes N steps late, so that loss and update wait for it. What is shown is
made from the newest frames all the same, by a second pipe of the same weights that only shows; it
is N + D - 1 frames ahead of the frame that it is made from: the pipe's own delay is learnt, too.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from sideways_tf.live.capture import Captured
from sideways_tf.live.labels import Labels


class Pair(NamedTuple):
    """What `Live.step` is given: float32 [1, S, S, 3] frames; None: not yet, or not at all."""

    frame: np.ndarray | None
    target: np.ndarray | None
    ahead: np.ndarray | None


class Task(abc.ABC):
    """One of the three.

    Args:
      late: how many steps ago a frame entered whose output is computed now, in blocked BP, which
        takes the target of its own frame; 0 in Sideways, and where BP takes a frame whole.

    Attributes:
      horizon: N, 0 where the present is shown.
      floor: what stands beside the error, in words.
    """

    horizon = 0
    floor = "floor"

    def __init__(self, late: int = 0):
        self.late = late

    def pair(self, frames: Sequence[Captured]) -> Pair:
        """Of the frames so far, the newest last."""
        target = frames[max(-1 - self.late, -len(frames))]
        return Pair(as_input(frames[-1]), self._target(target), None)

    @abc.abstractmethod
    def _target(self, frame: Captured) -> np.ndarray:
        """y of one frame, [1, ...]."""

    @abc.abstractmethod
    def error(self, shown: np.ndarray, frame: Captured) -> float:
        """How far what the network shows is off `frame`."""

    @abc.abstractmethod
    def still(self, source: Captured, frame: Captured) -> float:
        """The error of a network that shows its source frame as it is: the floor."""

    @abc.abstractmethod
    def picture(self, shown: np.ndarray, frame: Captured) -> list[np.ndarray]:
        """What stands beside the frame: uint8 [S, S, 3] each."""


class Reconstruct(Task):
    """Show the frame at hand: the paper's auto-encoding."""

    def _target(self, frame: Captured) -> np.ndarray:
        return as_input(frame)

    def error(self, shown: np.ndarray, frame: Captured) -> float:
        """Mean squared error, pixels in [0, 1]."""
        scaled = frame.pixels.astype(np.float32) / np.float32(255)
        return cv2.norm(np.ascontiguousarray(shown), scaled, cv2.NORM_L2SQR) / scaled.size

    def still(self, source: Captured, frame: Captured) -> float:
        total = cv2.norm(source.pixels, frame.pixels, cv2.NORM_L2SQR)
        return total / frame.pixels.size / 255**2

    def picture(self, shown: np.ndarray, frame: Captured) -> list[np.ndarray]:
        output = np.clip(np.rint(255 * shown), 0, 255).astype(np.uint8)
        return [output, cv2.absdiff(output, frame.pixels)]


class Predict(Reconstruct):
    """Show the frame N steps ahead of now; copying the newest frame stands beside it."""

    floor = "copying"

    def __init__(self, horizon: int):
        super().__init__()
        self.horizon = horizon

    def pair(self, frames: Sequence[Captured]) -> Pair:
        newest = as_input(frames[-1])
        if len(frames) <= self.horizon:
            return Pair(None, None, newest)
        return Pair(as_input(frames[-1 - self.horizon]), newest, newest)


class Classify(Task):
    """Say what is seen at hand, of the labels of a file of time spans."""

    def __init__(self, labels: Labels, late: int = 0):
        super().__init__(late)
        self.labels = labels

    def _target(self, frame: Captured) -> np.ndarray:
        return np.array([self.labels.at(frame.seconds)])

    def error(self, shown: np.ndarray, frame: Captured) -> float:
        """1 where the class shown is wrong."""
        return float(np.argmax(shown) != self.labels.at(frame.seconds))

    def still(self, source: Captured, frame: Captured) -> float:
        return float(self.labels.at(source.seconds) != self.labels.at(frame.seconds))

    def picture(self, shown: np.ndarray, frame: Captured) -> list[np.ndarray]:
        from sideways_tf.report.caption import HEIGHT, caption

        page = np.full_like(frame.pixels, 255)
        words = [self.labels.names[of] for of in (np.argmax(shown), self.labels.at(frame.seconds))]
        for n, text in enumerate((f"shown: {words[0]}", f"is: {words[1]}")):
            rows = page[n * HEIGHT : (n + 1) * HEIGHT]
            rows[:] = caption(text, page.shape[1])[: len(rows)]
        return [page]


def as_input(frame: Captured) -> np.ndarray:
    """float32 [1, S, S, 3] in [0, 1]."""
    return (frame.pixels.astype(np.float32) / np.float32(255))[np.newaxis]

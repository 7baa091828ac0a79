"""Reconstruction error of auto-encoding over whole test videos (section 4.5), and its parts.

What a stream shows at step t is compared with frame t, whatever frame it stems from. Two errors
are there before a network makes any of its own: the latency of D - 1 steps, and, in BP, the frames
that were dropped. The floor is the error of a perfect auto-encoder that suffers both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sideways_tf import progress
from sideways_tf.engines import schedule
from sideways_tf.errors import UserError
from sideways_tf.screen import SCREEN

# Frames at once, to bound memory.
CHUNK = 32
RULES = ("sideways", "bp")
MEANING = {
    "error": "output shown at t against frame t",
    "source_error": "the same output against the frame it stems from",
    "floor": "that frame itself against frame t: a perfect auto-encoder",
    "latency_floor": "frame t - D + 1 against frame t: perfect, and none dropped",
}


class Errors(NamedTuple):
    """Mean squared differences of pixels in [0, 1]; see `MEANING`."""

    error: float
    source_error: float
    floor: float
    latency_floor: float


@dataclass
class Reconstruction:
    """Errors of one network over test videos, each video counting alike.

    Attributes:
      algorithm: the rule, "sideways" or "bp", that the network was trained and is judged by.
      rows: for each rule a list of each video's errors; the same network shown by the other rule
        tells what the rule alone makes.
    """

    algorithm: str
    rows: dict[str, list[Errors]] = field(default_factory=lambda: {rule: [] for rule in RULES})

    @property
    def videos(self) -> int:
        """How many videos were tested."""
        return len(self.rows[self.algorithm])

    def mean(self, rule: str) -> Errors:
        """Means over the videos."""
        return Errors(*(float(x) for x in np.mean(self.rows[rule], axis=0)))

    @property
    def error(self) -> float:
        """The headline: mean squared error of Table 3."""
        return self.mean(self.algorithm).error

    def as_dict(self, class_names: Sequence[str] = ()) -> dict:
        """Everything, for JSON."""
        del class_names
        return {"videos": self.videos, **{rule: self.mean(rule)._asdict() for rule in RULES}}

    def table(self, class_names: Sequence[str] = ()) -> str:
        """One line a measure, one column a rule."""
        del class_names
        means = {rule: self.mean(rule) for rule in RULES}
        lines = [f"{'mean squared error':<18}" + "".join(f"  as {rule:<8}" for rule in RULES)]
        for name, meaning in MEANING.items():
            numbers = "".join(f"  {getattr(means[rule], name):11.5f}" for rule in RULES)
            lines.append(f"{name:<18}{numbers}   {meaning}")
        return "\n".join(lines)


def source_frames(algorithm: str, frames: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Which frame the output shown at each step stems from, both from 0.

    Returns:
      steps, int [n]: those at which an output is shown, D - 1 .. `frames` - 1, the same for both
      algorithms; sources, int [n].
    """
    steps = range(depth, frames + 1)
    sources = [schedule.source_frame(algorithm, t, depth) for t in steps]
    return np.array(steps) - 1, np.array(sources) - 1


class Network:
    """A network as it is tested, some frames at a time.

    Args:
      run: frames float [N, H, W, 3] -> outputs [N, H, W, 3].
      depth: D.
    """

    def __init__(self, run: Callable[[tf.Tensor], tf.Tensor], depth: int):
        self.run, self.depth = run, depth

    def __call__(self, frames: tf.Tensor) -> tf.Tensor:
        """frames float [N, H, W, 3] -> outputs [N, H, W, 3]."""
        parts = [self.run(frames[n : n + CHUNK]) for n in range(0, len(frames), CHUNK)]
        return tf.concat(parts, axis=0)


def measure_reconstruction(
    network: Network, algorithm: str, videos: tf.data.Dataset, count: int
) -> Reconstruction:
    """Run the network over whole videos; one too short to show any output is named and left out.

    Args:
      videos: of (frames float32 [N, H, W, 3], label int32 [], name string []).
      count: how many videos there are, for the progress bar.

    Raises:
      UserError: if all are too short.
    """
    found = Reconstruction(algorithm)
    shown = progress.bar("test", count, " videos")
    for frames, _, name in videos:
        shown.update()
        if len(frames) < network.depth:
            short = too_short(len(frames), network.depth, name.numpy().decode())
            SCREEN.note(f"left out {short}")
            continue
        outputs = network(frames)
        for rule in RULES:
            found.rows[rule].append(video_errors(frames, outputs, rule, network.depth))
    shown.close()
    if not found.videos:
        raise UserError(
            f"no test video is long enough for {network.depth} modules: use longer ones, or a "
            "smaller --stride or fewer --modules"
        )
    return found


def video_errors(frames: tf.Tensor, outputs: tf.Tensor, rule: str, depth: int) -> Errors:
    """Errors of one video.

    Args:
      frames, outputs: float [N, H, W, 3]; outputs[n] is what the network makes of frames[n].
      rule: "sideways" or "bp".
      depth: D.
    """
    steps, sources = source_frames(rule, len(frames), depth)
    late = steps - depth + 1
    return Errors(
        error=_mean_squared(outputs, sources, frames, steps),
        source_error=_mean_squared(outputs, sources, frames, sources),
        floor=_mean_squared(frames, sources, frames, steps),
        latency_floor=_mean_squared(frames, late, frames, steps),
    )


def _mean_squared(left: tf.Tensor, a: np.ndarray, right: tf.Tensor, b: np.ndarray) -> float:
    """Mean of (left[a] - right[b])^2, without making both in full."""
    sums = 0.0
    for n in range(0, len(a), CHUNK):
        here, there = tf.gather(left, a[n : n + CHUNK]), tf.gather(right, b[n : n + CHUNK])
        sums += float(tf.reduce_sum(tf.math.squared_difference(here, there)))
    return sums / (len(a) * int(np.prod(right.shape[1:])))


def too_short(frames: int, depth: int, name: str) -> str:
    """What is wrong with a video that ends before the first output appears."""
    return f"{name}: it has {frames} frames, the first output of {depth} modules appears at {depth}"

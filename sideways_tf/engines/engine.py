"""The one interface of all engines: a clip and its targets in, an `Episode` out."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import tensorflow as tf

from sideways_tf.engines.passes import Episode, Loss
from sideways_tf.errors import UserError
from sideways_tf.models.block import SidewaysBlock, build_modules


class Engine(abc.ABC):
    """Computes the (pseudo-)gradients of one episode; never changes a weight.

    Args:
      modules: D modules H_1 .. H_D, from the one that takes the frame on.
      loss: (targets [N, ...], outputs [N, ...]) -> losses [N, ...], not averaged over examples;
        or a Keras loss object.
    """

    def __init__(self, modules: Sequence[SidewaysBlock], loss: Loss):
        if not modules:
            raise UserError("a network needs at least one module, none was given")
        self.modules = list(modules)
        self.loss = loss
        self.specs: list[tuple[tf.TensorSpec, tf.TensorSpec]] = []  # Known once built.
        self._graph = tf.function(self._episode, autograph=False)

    @property
    def depth(self) -> int:
        """D."""
        return len(self.modules)

    def __call__(
        self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor | None = None
    ) -> Episode:
        """Run one episode over a whole clip, from empty buffers.

        Args:
          clip: [K, B, ...], time-major; K and B are known before the graph is traced.
          targets: [K, B, ...]; the one at t belongs to computation step t (y^t of section 3.1).
          seed: int32 [2], of the dropout masks; drawn from TensorFlow's global generator if None.

        Raises:
          UserError: if the clip is too short for the modules, or clip and targets do not match.
        """
        return self._graph(*self._checked(clip, targets, seed))

    def _checked(
        self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        clip, targets = tf.convert_to_tensor(clip), tf.convert_to_tensor(targets)
        if clip.shape.rank is None or None in clip.shape[:2]:
            raise UserError(f"a clip needs a known shape [K, B, ...], got {clip.shape}")
        if clip.shape[:2] != targets.shape[:2]:
            raise UserError(
                f"targets of shape {targets.shape} do not fit a clip of shape {clip.shape}: give "
                "one target for each frame and example, [K, B, ...]"
            )
        self.check_frames(clip.shape[0])
        with tf.init_scope():
            self.build(tf.TensorSpec(clip.shape[1:], clip.dtype))
        if seed is None:
            seed = tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
        return clip, targets, tf.cast(seed, tf.int32)

    def build(self, frame: tf.TensorSpec) -> None:
        """Make all variables for a batch of frames, `frame` [B, ...], unless it was done before."""
        if not self.specs:
            self.specs = build_modules(self.modules, frame)
            self._prepare()

    def _prepare(self) -> None:  # noqa: B027, most engines need nothing
        """What an engine needs beyond its modules' variables."""

    def check_frames(self, frames: int) -> None:  # noqa: B027, BP takes any number
        """Raise UserError where `frames` (K) are too few."""

    @abc.abstractmethod
    def _episode(self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> Episode:
        """One episode, in a graph."""


def per_frame(labels: tf.Tensor, frames: int) -> tf.Tensor:
    """One label for a whole clip, [B, ...], repeated for each of its frames: [K, B, ...]."""
    return tf.repeat(labels[tf.newaxis], frames, axis=0)

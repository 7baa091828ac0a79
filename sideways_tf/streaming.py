"""A model on streams: learning goes on where it stood, outputs come from all modules at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sideways_tf.engines import Engine, schedule
from sideways_tf.engines.inference import infer
from sideways_tf.errors import UserError
from sideways_tf.live.session import Live
from sideways_tf.modules import SidewaysBlock
from sideways_tf.modules.wiring import Wiring
from sideways_tf.optimizers import ModuleOptimizers


class Streaming(tf.keras.Model):
    """The part of `SidewaysModel` that takes streams, which have no end."""

    modules: list[SidewaysBlock]
    wiring: Wiring
    engine: Engine | None
    optimizers: ModuleOptimizers
    update_every: int
    depth: Any  # A property, int.
    update_count: Callable[[], tf.Tensor]
    episode_seed: Callable[[], tf.Tensor]
    _build: Callable[[tf.TensorSpec], None]
    _learn: Callable[..., tuple[tf.Tensor, Any]]
    _as_pipe: Callable[[tf.Tensor], tf.Tensor] | None

    def advance(self, frames: Any, targets: Any) -> tf.Tensor:
        """Go on in the middle of a stream with its next frames, and learn (L < K).

        Args:
          frames, targets: [B, n, ...] both, n a multiple of `update_every`.

        Returns:
          The mean loss of those frames, [], 0 where there was none yet.
        """
        if not self.update_every or frames.shape[1] % self.update_every:
            raise UserError(
                f"update_every={self.update_every}: a stream goes on by a multiple of it, got "
                f"{frames.shape[1]} frames; a stream is learnt from with update_every of at least 1"
            )
        if not hasattr(self, "_advance"):
            self._advance = tf.function(self._advance_step, autograph=False)
        return self._advance(tf.convert_to_tensor(frames), tf.convert_to_tensor(targets))

    def _advance_step(self, frames: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        clip, turned = time_major(frames), time_major(targets)
        # As long a clip as there may be: a stream has no end.
        longest = max(self.wiring.cycle, schedule.cycle_length(self.depth))
        endless = [*frames.shape[:1], longest + self.update_every]
        self._build(tf.TensorSpec([*endless, *frames.shape[2:]], frames.dtype))
        loss, _ = self._learn(clip, turned, self.episode_seed(), goes_on=True)
        self.optimizers.count(self.update_count())
        return loss

    def restart(self, batch: int) -> None:
        """Empty the pipe, for a new stream of `batch` examples that `advance` takes in parts."""
        assert self.engine is not None
        self.engine.network.rest(self.engine.network.empty(batch))

    def live(self, batch: int = 1, by_clock: bool = False) -> Live:
        """A stream that is learnt from frame by frame, from an empty pipe on; see `Live`.

        `shown = model.live(batch=1).step(frame, target)`: one computation step of all modules.
        """
        return Live(self, batch, by_clock)

    def predict_stream(self, frames: Any) -> tf.Tensor:
        """The frames of one video [N, ...] -> their outputs [N, ...], by all modules at once.

        Exactly `predict`'s outputs; see `engines/inference.py`. On D equal devices a frame takes
        one computation step instead of D, and its output comes D - 1 steps late.
        """
        frames = tf.convert_to_tensor(frames)
        if not self.modules:
            self._build(tf.TensorSpec([1, *frames.shape], frames.dtype))
        if self._as_pipe is None:
            self._as_pipe = tf.function(
                lambda x: infer(self.modules, x[:, tf.newaxis], self.wiring)[:, 0],
                autograph=False,
                reduce_retracing=True,
            )
        return self._as_pipe(frames)


def time_major(clips: tf.Tensor) -> tf.Tensor:
    """[B, K, ...] -> [K, B, ...], or back."""
    return tf.transpose(clips, [1, 0, *range(2, len(clips.shape))])

"""Sideways on one device, as ordinary batched backprop with a gradient shifted in time.

Weights are constant inside an episode, so that all frames can be computed at once. Module i holds
frame tau = t - i + 1 at step t and meets there what module i + 1 computed at step t - 1 at frame
(t - 1) - (i + 1) + 1 = tau - 2. So between two modules the forward pass is the identity, less the
last frame, which module i + 1 never reaches; the backward pass moves the gradient two frames on,
and zeros enter at the front. K = 6, D = 3, the frames of each module (":" holds one whose
pseudo-gradient is zero, gamma_i^t = 0):

    module 3   1  2  3  4
    module 2   :  :  3  4  5           frame 3 meets what module 3 computed at frame 1
    module 1   :  :  :  :  5  6        frame 5 meets what module 2 computed at frame 3
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from sideways_tf.engines import schedule
from sideways_tf.engines.backprop import BatchedBackprop


class TimeShiftedSideways(BatchedBackprop):
    """The pseudo-gradients, loss and outputs of `PipelinedSideways`, at batched BP's speed."""

    def check_frames(self, frames: int) -> None:
        schedule.check_episode(self.depth, frames)

    def frames_seen(self, module: int, frames: int) -> int:
        return schedule.frames_seen(module, frames)

    def gamma(self, module: int, frames: int) -> int:
        return schedule.gamma(module, self.depth, frames)

    def link(self, h: tf.Tensor, batch: int) -> tf.Tensor:
        return shifted_link(h, batch)


def shifted_link(h: tf.Tensor, batch: int) -> tf.Tensor:
    """Drop the last frame of h [T * B, ...] forward; shift the gradient by two frames backward."""
    kept = h.shape[0] - batch

    @tf.custom_gradient
    def link(h: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def shift(gradient: tf.Tensor) -> tf.Tensor:
            zeros = tf.zeros_like(h[: 2 * batch])
            return tf.concat([zeros, gradient[: kept - batch]], axis=0)

        return h[:kept], shift

    return link(h)

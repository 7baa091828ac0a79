"""All frames of a clip at once, on one device: batched BP, and Sideways by a shift in time.

Weights are constant inside an episode, so that all frames can be computed at once: folded into the
batch axis, where batch norm and dropout keep them apart. For Sideways, module i holds frame
tau = t - i + 1 at step t and meets there what module i + 1 computed at step t - 1 at frame
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
from sideways_tf.engines.engine import Engine, Episode
from sideways_tf.engines.loss_scale import unscaled
from sideways_tf.engines.passes import (
    clip_loss,
    dense,
    mean_with_penalty,
    memory_after,
    module_seeds,
    weight_penalties,
)
from sideways_tf.modules.apart import check_apart_in_time
from sideways_tf.modules.step import Step


class BatchedBackprop(Engine):
    """BP over all frames of a clip at once: what one would run on a single device.

    The same training as frame by frame. `TimeShiftedSideways` is this engine with another `link`
    between the modules.
    """

    def _prepare(self) -> None:
        check_apart_in_time(self.modules)

    def frames_seen(self, module: int, frames: int) -> int:
        """How many frames module i = `module` works on."""
        return frames

    def gamma(self, module: int, frames: int) -> int:
        """Over how many frames the gradients of module i = `module` are averaged."""
        return frames

    def link(self, h: tf.Tensor, frames: int) -> tf.Tensor:
        """From a module's output, `frames` folded, to the input of the one above."""
        return h

    def compute(
        self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor
    ) -> tuple[Episode, list[list[tf.Tensor]]]:
        frames = clip.shape[0]
        weights = [list(module.trainable_variables) for module in self.modules]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            outputs, memories = self._forward(clip, module_seeds(seed, self.depth))
            seen = self.frames_seen(self.depth, frames)
            shape = tf.concat([[seen, -1], tf.shape(outputs)[1:]], 0)
            outputs = tf.ensure_shape(
                tf.reshape(outputs, shape), [seen, clip.shape[1], *outputs.shape[1:]]
            )
            # The last `seen` targets: the output of frame tau appears at step tau + D - 1.
            loss = clip_loss(self.network.loss, targets[frames - seen :], outputs)
            summed = loss * seen
        scale = self.network.scale()
        start = None if scale is None else tf.cast(scale, summed.dtype)
        sums = tape.gradient(summed, weights, start, unconnected_gradients="zero")
        means = [
            mean_with_penalty(module, unscaled(dense(total), scale), self.gamma(i, frames))
            for i, (module, total) in enumerate(zip(self.modules, sums, strict=True), 1)
        ]
        loss = loss + weight_penalties(self.modules, loss.dtype)
        return Episode(loss, outputs, means), memories

    def _forward(
        self, clip: tf.Tensor, seeds: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[list[tf.Tensor]]]:
        """All modules over all frames: h_D [T * B, ...], and what each module remembers."""
        frames = clip.shape[0]
        h = tf.reshape(clip, tf.concat([[-1], tf.shape(clip)[2:]], 0))
        known = None if clip.shape[1] is None else frames * clip.shape[1]
        h, memories = tf.ensure_shape(h, [known, *clip.shape[2:]]), []
        for i, module in enumerate(self.modules, 1):
            seen = self.frames_seen(i, frames)
            memory = dict(zip([v.ref() for v in module.state], module.memory(), strict=True))
            numbers = tf.range(1, seen + 1)
            step = Step(seen, numbers, seeds[i - 1], memory, True, self.network.masks)
            h = module.forward(h if i == 1 else self.link(h, seen + 1), step)
            memories.append(memory_after(module, step))
        return h, memories


class TimeShiftedSideways(BatchedBackprop):
    """The pseudo-gradients, loss and outputs of `PipelinedSideways`, at batched BP's speed."""

    needs_cycle = True

    def frames_seen(self, module: int, frames: int) -> int:
        return schedule.frames_seen(module, frames)

    def gamma(self, module: int, frames: int) -> int:
        return schedule.gamma(module, self.depth, frames)

    def link(self, h: tf.Tensor, frames: int) -> tf.Tensor:
        return shifted_link(h, frames)


def shifted_link(h: tf.Tensor, frames: int) -> tf.Tensor:
    """Drop the last of `frames` in h [T * B, ...] forward; shift the gradient by two backward."""
    batch = h.shape[0] // frames if h.shape[0] is not None else tf.shape(h)[0] // frames
    kept = (frames - 1) * batch

    @tf.custom_gradient
    def link(h: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def shift(gradient: tf.Tensor) -> tf.Tensor:
            zeros = tf.zeros_like(h[: 2 * batch])
            return tf.concat([zeros, gradient[: kept - batch]], axis=0)

        return h[:kept], shift

    return link(h)

"""BP, the baseline (section 3.3): frame by frame, or all frames of a clip in one batch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from sideways_tf.engines.apart import check_apart_in_time
from sideways_tf.engines.engine import Engine
from sideways_tf.engines.passes import (
    Episode,
    assign_moving,
    averages,
    backward,
    each_on_device,
    forward,
    loss_and_gradient,
    module_seeds,
    moved,
    moving_values,
    open_step,
    per_example,
    zero_sums,
)


class FrameByFrameBackprop(Engine):
    """The paper's BP: every frame blocks all modules for its update cycle of 2D - 1 steps.

    Each module works on its own device, but only one of them at a time. The (mean) gradients are
    exact. This is the baseline of Table 2.
    """

    def _episode(self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> Episode:
        frames = clip.shape[0]
        seeds = module_seeds(seed, self.depth)
        sums = zero_sums(self.modules)
        moving = [moving_values(m) for m in self.modules]
        outputs = tf.TensorArray(self.specs[-1][1].dtype, frames)

        def one_frame(
            tau: tf.Tensor, loss: tf.Tensor, sums: list, moving: list, outputs: Any
        ) -> tuple:
            value, output, gradients, moving = self._cycle(
                clip[tau], targets[tau], tau + 1, seeds, moving
            )
            sums = each_on_device(self.modules, tf.add, sums, gradients)
            return tau + 1, loss + value, sums, moving, outputs.write(tau, output)

        # One iteration at a time: a frame must not enter before the cycle of the last one ends.
        zero = tf.zeros([], self.specs[-1][1].dtype)
        _, loss, sums, moving, outputs = tf.while_loop(
            lambda tau, *_: tau < frames,
            one_frame,
            (tf.constant(0), zero, sums, moving, outputs),
            parallel_iterations=1,
        )
        for module, values in zip(self.modules, moving, strict=True):
            assign_moving(module, values)
        means = averages(self.modules, sums, [frames] * self.depth)
        return Episode(loss / frames, outputs.stack(), means)

    def _cycle(
        self, x: tf.Tensor, y: tf.Tensor, tau: tf.Tensor, seeds: list, moving: list
    ) -> tuple:
        """Eqs. 1 and 2 for frame `tau` (from 1): loss, output, gradients, moving statistics."""
        runs, after, h = [], [], x
        for module, seed, values in zip(self.modules, seeds, moving, strict=True):
            step = open_step(module, tau[tf.newaxis], 1, seed, values)
            runs.append(forward(module, h, step))
            after.append(moved(module, step))
            h = runs[-1].h_out
        value, above = loss_and_gradient(self.loss, y, h, self.modules[-1].device)
        gradients: list[list[tf.Tensor]] = []
        for run in reversed(runs):
            weights, above = backward(run, above, first=run is runs[0])
            gradients.insert(0, weights)
        return value, h, gradients, after


class BatchedBackprop(Engine):
    """BP over all frames of a clip at once: what one would run on a single device.

    The frames are folded into the batch axis; batch norm and dropout keep them apart, so that it
    is the same training as frame by frame. `TimeShiftedSideways` is this engine with another
    `link` between the modules.
    """

    def _prepare(self) -> None:
        check_apart_in_time(self.modules, self.specs)

    def frames_seen(self, module: int, frames: int) -> int:
        """How many frames module i = `module` works on."""
        return frames

    def gamma(self, module: int, frames: int) -> int:
        """Over how many frames the gradients of module i = `module` are averaged."""
        return frames

    def link(self, h: tf.Tensor, batch: int) -> tf.Tensor:
        """From a module's output to the input of the one above, all frames folded."""
        return h

    def _episode(self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> Episode:
        frames, batch = clip.shape[:2]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for module in self.modules:
                tape.watch(module.trainable_variables)
            outputs = self._forward(clip, module_seeds(seed, self.depth))
            seen = self.frames_seen(self.depth, frames)
            # The last `seen` targets: the output of frame tau appears at step tau + D - 1.
            losses = per_example(self.loss, fold(targets[frames - seen :]), outputs)
            loss = tf.reduce_mean(losses)
            summed = loss * seen
        gradients = tape.gradient(
            summed,
            [list(module.trainable_variables) for module in self.modules],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        means = [
            [g / self.gamma(i, frames) for g in module] for i, module in enumerate(gradients, 1)
        ]
        return Episode(loss, tf.reshape(outputs, [seen, batch, *outputs.shape[1:]]), means)

    def _forward(self, clip: tf.Tensor, seeds: list[tf.Tensor]) -> tf.Tensor:
        """All modules over all frames: h_D [T * B, ...], moving statistics assigned."""
        frames, batch = clip.shape[:2]
        h = fold(clip)
        for i, module in enumerate(self.modules, 1):
            seen = self.frames_seen(i, frames)
            numbers = tf.range(1, seen + 1)
            step = open_step(module, numbers, seen, seeds[i - 1], moving_values(module))
            h = module.forward(h if i == 1 else self.link(h, batch), step)
            assign_moving(module, moved(module, step))
        return h


def fold(clip: tf.Tensor) -> tf.Tensor:
    """[K, B, ...] -> [K * B, ...]."""
    return tf.reshape(clip, [clip.shape[0] * clip.shape[1], *clip.shape[2:]])

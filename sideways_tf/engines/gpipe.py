"""Exact pipelined BP: the schedule of GPipe (ref. 20), with frames as its micro-batches.

All frames go forward through the pipe, then all go backward, the last one first. Between the two a
module keeps only its inputs; its activations are computed again on the way back. "3" is frame 3
forward, "3*" is frame 3 computed again and backward, "." is idle; D = 3, K = 4:

    tick        1   2   3   4   5   6 |  1   2   3   4   5   6
    module 3    .   .   1   2   3   4 |  4*  3*  2*  1*  .   .
    module 2    .   1   2   3   4   . |  .   4*  3*  2*  1*  .
    module 1    1   2   3   4   .   . |  .   .   4*  3*  2*  1*

Both halves take K + D - 1 ticks, of which every module waits D - 1: the drain. Weights are those
of the episode's start, so that the gradients are BP's own.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from sideways_tf.engines.engine import Engine
from sideways_tf.engines.passes import (
    Episode,
    assign_moving,
    backward,
    forward,
    loss_and_gradient,
    module_seeds,
    moved,
    moving_values,
    open_step,
)
from sideways_tf.errors import UserError


class GPipeBackprop(Engine):
    """BP's gradients, loss and outputs, with the modules at work on different frames at once.

    What one would use instead of Sideways. It stores the inputs of all modules for all K frames.
    """

    def _prepare(self) -> None:
        for number, module in enumerate(self.modules, 1):
            if module.own_state:
                raise UserError(
                    f"module {number} ({module.layer.name}) assigns state of its own "
                    f"({module.own_state[0].name}) as it trains, and --engine=gpipe runs its "
                    "forward pass twice: use --engine=pipelined"
                )

    def _episode(self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> Episode:
        frames = clip.shape[0]
        seeds = module_seeds(seed, self.depth)
        inputs, outputs, moving = self._all_forward(clip, seeds)
        for module, values in zip(self.modules, moving, strict=True):
            assign_moving(module, values)
        loss, sums = self._all_backward(clip, targets, inputs, seeds)
        means = [[g / frames for g in module] for module in sums]
        return Episode(loss / frames, outputs.stack(), means)

    def _all_forward(
        self, clip: tf.Tensor, seeds: list[tf.Tensor]
    ) -> tuple[list[tf.TensorArray], tf.TensorArray, list[list[tf.Tensor]]]:
        """Inputs h_1 .. h_{D-1} of the modules above the first, outputs h_D, moving statistics."""
        frames, depth = clip.shape[0], self.depth

        def tick(n: tf.Tensor, pipe: Any, kept: Any, moving: Any) -> tuple:
            below, after = [], []
            # kept[i] holds what module i + 1 emitted at this tick: input of module i + 2, or h_D.
            for i, module in enumerate(self.modules):
                with tf.device(module.device):
                    tau = n - i
                    h, values = tf.cond(
                        (tau >= 1) & (tau <= frames),
                        lambda i=i, tau=tau: self._forward(
                            i, clip[tau - 1] if i == 0 else pipe[i - 1], tau, seeds, moving
                        ),
                        # An idle module's place in the pipe stands still, so that the writes
                        # below need no condition: they write a frame twice, or too early.
                        lambda i=i: (pipe[i], moving[i]),
                    )
                    place = tf.clip_by_value(tau - 1, 0, frames - 1)
                    kept = [*kept[:i], kept[i].write(place, h), *kept[i + 1 :]]
                below.append(h)
                after.append(values)
            return n + 1, below, kept, after

        pipe, kept = [], []
        for module, (_, h_out) in zip(self.modules, self.specs, strict=True):
            with tf.device(module.device):
                pipe.append(tf.zeros([clip.shape[1], *h_out.shape[1:]], h_out.dtype))
                kept.append(tf.TensorArray(h_out.dtype, frames, element_shape=pipe[-1].shape))
        moving = [moving_values(module) for module in self.modules]
        _, _, kept, moving = self._ticks(frames + depth - 1, tick, (pipe, kept, moving))
        return kept[:-1], kept[-1], moving

    def _forward(
        self, i: int, h_in: tf.Tensor, tau: tf.Tensor, seeds: Any, moving: Any
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Output and moving statistics of module i + 1 at frame `tau` (from 1)."""
        step = open_step(self.modules[i], [tau], 1, seeds[i], moving[i])
        run = forward(self.modules[i], h_in, step)
        return run.h_out, moved(self.modules[i], step)

    def _all_backward(
        self,
        clip: tf.Tensor,
        targets: tf.Tensor,
        inputs: list[tf.TensorArray],
        seeds: list[tf.Tensor],
    ) -> tuple[tf.Tensor, list[list[tf.Tensor]]]:
        """Summed loss, and for each module its summed gradients."""
        frames, depth = clip.shape[0], self.depth

        def tick(n: tf.Tensor, pipe: Any, loss: Any, sums: Any) -> tuple:
            above, emitted, added = [*pipe, None], [], []
            for i, module in enumerate(self.modules):
                with tf.device(module.device):
                    tau = frames + depth - i - n

                    def run(i: int = i, tau: tf.Tensor = tau) -> tuple:
                        h_in = clip[tau - 1] if i == 0 else inputs[i - 1].read(tau - 1)
                        return self._backward(i, h_in, targets, above[i], tau, seeds, loss, sums[i])

                    def idle(i: int = i) -> tuple:
                        return sums[i], [] if i == 0 else [pipe[i - 1]], loss

                    new, below, value = tf.cond((tau >= 1) & (tau <= frames), run, idle)
                added.append(new)
                emitted += below
            return n + 1, emitted, value, added

        pipe, sums = [], []
        for i, (module, (h_in, _)) in enumerate(zip(self.modules, self.specs, strict=True)):
            with tf.device(module.device):
                sums.append([tf.zeros_like(v) for v in module.trainable_variables])
                if i > 0:
                    pipe.append(tf.zeros([clip.shape[1], *h_in.shape[1:]], h_in.dtype))
        loss = tf.zeros([], self.specs[-1][1].dtype)
        _, _, loss, sums = self._ticks(frames + depth - 1, tick, (pipe, loss, sums))
        return loss, sums

    def _backward(
        self,
        i: int,
        h_in: tf.Tensor,
        targets: tf.Tensor,
        above: tf.Tensor | None,
        tau: tf.Tensor,
        seeds: list[tf.Tensor],
        loss: tf.Tensor,
        sums: list[tf.Tensor],
    ) -> tuple[list[tf.Tensor], list[tf.Tensor], tf.Tensor]:
        """Module i + 1 again at frame `tau`, and back: sums, [gradient of its input], loss."""
        module = self.modules[i]
        # The moving statistics took this frame in on the way forward.
        step = open_step(module, [tau], 1, seeds[i], moving_values(module), real=False)
        run = forward(module, h_in, step)
        if i == self.depth - 1:
            value, above = loss_and_gradient(self.loss, targets[tau - 1], run.h_out, module.device)
            loss = loss + value
        weights, below = backward(run, above, first=i == 0)
        added = [total + g for total, g in zip(sums, weights, strict=True)]
        return added, [] if below is None else [below], loss

    @staticmethod
    def _ticks(count: int, body: Any, state: tuple) -> tuple:
        """Run `body` at ticks n = 1 .. `count`: (n, *state) -> (n + 1, *state)."""
        return tf.while_loop(
            lambda n, *_: n <= count, body, (tf.constant(1), *state), maximum_iterations=count
        )

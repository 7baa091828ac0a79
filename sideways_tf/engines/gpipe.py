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

from sideways_tf.engines.engine import Engine, Episode, check_repeatable
from sideways_tf.engines.network import Network
from sideways_tf.engines.passes import (
    forward,
    mean_with_penalty,
    memory_after,
    module_seeds,
    open_step,
    weight_penalties,
    zero_gradients,
)
from sideways_tf.engines.scheme import learn
from sideways_tf.modules.wide import weights_held


class GPipeBackprop(Engine):
    """BP's gradients, loss and outputs, with the modules at work on different frames at once.

    What one would use instead of Sideways. It stores the inputs of all modules for all K frames.
    """

    skips = "none"

    def _prepare(self) -> None:
        check_repeatable(self.modules, "gpipe")

    def compute(
        self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor
    ) -> tuple[Episode, list[list[tf.Tensor]]]:
        frames, drain = clip.shape[0], _Drain(self.network, clip, module_seeds(seed, self.depth))
        with weights_held(self.modules):
            inputs, outputs, memories = drain.forward()
            losses, sums = drain.backward(targets, inputs)
        pairs = zip(self.modules, sums, strict=True)
        means = [mean_with_penalty(m, total, frames) for m, total in pairs]
        loss = tf.add_n(losses) / frames + weight_penalties(self.modules, self.network.loss_type)
        return Episode(loss, outputs.stack(), means), memories


class _Drain:
    """The two halves of one episode. Modules are counted from 0, ticks and frames from 1."""

    def __init__(self, network: Network, clip: tf.Tensor, seeds: list[tf.Tensor]):
        self.network, self.clip, self.seeds = network, clip, seeds
        self.frames = clip.shape[0]
        self.scale = network.scale()
        batch = clip.shape[1] if clip.shape[1] is not None else tf.shape(clip)[1]
        self.empty = network.empty(batch).carried

    def forward(self) -> tuple[list[tf.TensorArray], tf.TensorArray, list[list[tf.Tensor]]]:
        """Inputs h_1 .. h_{D-1} of the modules above the first, outputs h_D, memories."""
        modules = self.network.modules

        def tick(n: tf.Tensor, pipe: Any, kept: Any, memories: Any) -> tuple:
            emitted, after = [], []
            # kept[i] holds what module i emitted at this tick: the input of module i + 1, or h_D.
            for i, module in enumerate(modules):
                with tf.device(module.device):
                    tau = n - i
                    h, memory = tf.cond(
                        self._there(tau),
                        lambda i=i, tau=tau: self._pass(
                            i, self.clip[tau - 1] if i == 0 else pipe[i - 1], tau, memories[i]
                        ),
                        # An idle module's place in the pipe stands still, so that the writes
                        # below need no condition: they write a frame twice, or too early.
                        lambda i=i: (pipe[i], memories[i]),
                    )
                    place = tf.clip_by_value(tau - 1, 0, self.frames - 1)
                    kept = [*kept[:i], kept[i].write(place, h), *kept[i + 1 :]]
                emitted.append(h)
                after.append(memory)
            return n + 1, emitted, kept, after

        kept = []
        for module, carried in zip(modules, self.empty, strict=True):
            with tf.device(module.device):
                h = carried.emitted
                kept.append(tf.TensorArray(h.dtype, self.frames, element_shape=h.shape))
        pipe, memories = [c.emitted for c in self.empty], [c.memory for c in self.empty]
        _, _, kept, memories = self._ticks(tick, (pipe, kept, memories))
        return kept[:-1], kept[-1], memories

    def _pass(self, i: int, h_in: tf.Tensor, tau: tf.Tensor, memory: Any) -> tuple:
        """Output and memory of module i after frame `tau`."""
        module = self.network.modules[i]
        step = open_step(module, tau, self.seeds[i], memory, self.network.masks)
        return module.forward(h_in, step), memory_after(module, step)

    def backward(
        self, targets: tf.Tensor, inputs: list[tf.TensorArray]
    ) -> tuple[list[tf.Tensor], list[list[tf.Tensor]]]:
        """Summed losses of the modules that have any; for each module its summed gradients."""
        network, depth = self.network, self.network.depth

        def tick(n: tf.Tensor, pipe: Any, losses: Any, sums: Any) -> tuple:
            above, emitted, values, added = [*pipe, None], [], [], []
            for i, module in enumerate(network.modules):
                with tf.device(module.device):
                    tau = self.frames + depth - i - n

                    def run(i: int = i, tau: tf.Tensor = tau) -> tuple:
                        h_in = self.clip[tau - 1] if i == 0 else inputs[i - 1].read(tau - 1)
                        gradient = targets[tau - 1] if i == depth - 1 else above[i]
                        return self._back(i, h_in, gradient, tau, losses[i], sums[i])

                    def idle(i: int = i) -> tuple:
                        return losses[i], sums[i], [] if i == 0 else [pipe[i - 1]]

                    loss, total, below = tf.cond(self._there(tau), run, idle)
                values.append(loss)
                added.append(total)
                emitted += below
            return n + 1, emitted, values, added

        pipe = [below for carried in self.empty for below in carried.below]
        sums = [zero_gradients(module) for module in network.modules]
        zero = tf.zeros([], network.loss_type)
        losses = [[zero] if has else [] for has in network.has_loss]
        _, _, losses, sums = self._ticks(tick, (pipe, losses, sums))
        return [loss for each in losses for loss in each], sums

    def _back(
        self, i: int, h_in: tf.Tensor, above: tf.Tensor, tau: tf.Tensor, losses: Any, sums: Any
    ) -> tuple:
        """Module i again at frame `tau`, and back: its loss, sums, [gradient of its input]."""
        module, memory = self.network.modules[i], self.empty[i].memory
        # The module's memory took this frame in on the way forward: not again.
        step = open_step(module, tau, self.seeds[i], memory, self.network.masks)
        run = forward(module, h_in, step)
        found, below = learn(self.network, i + 1, run, above, scale=self.scale)
        losses = [loss + value for loss, value in zip(losses, found.loss, strict=True)]
        return losses, [a + g for a, g in zip(sums, found.pseudo_gradients, strict=True)], below

    def _there(self, tau: tf.Tensor) -> tf.Tensor:
        """Whether there is a frame `tau`."""
        return (tau >= 1) & (tau <= self.frames)

    def _ticks(self, body: Any, state: tuple) -> tuple:
        """Run `body` at ticks n = 1 .. K + D - 1: (n, *state) -> (n + 1, *state)."""
        count = self.frames + self.network.depth - 1
        return tf.while_loop(
            lambda n, *_: n <= count, body, (tf.constant(1), *state), maximum_iterations=count
        )

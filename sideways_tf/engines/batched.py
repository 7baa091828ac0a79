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
from typing import NamedTuple

import tensorflow as tf

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
from sideways_tf.errors import UserError
from sideways_tf.modules.apart import check_apart_in_time
from sideways_tf.modules.step import Step
from sideways_tf.modules.wiring import Edge


class BatchedBackprop(Engine):
    """BP over all frames of a clip at once: what one would run on a single device.

    The same training as frame by frame. With skips that bring frames together it is BP on the
    network unrolled over the clip: its loss is that of every output all of whose frames are in the
    clip, each against the target of its newest frame. `TimeShiftedSideways` is this engine with
    another last step and another `link` between the modules.
    """

    def _prepare(self) -> None:
        check_apart_in_time(self.modules, self.wiring)

    def last(self, module: int, frames: int) -> int:
        """The last step at which module i = `module` works: on what outputs still need."""
        return frames + self.wiring.latency - self.wiring.shortest(module)

    def frames_seen(self, module: int, frames: int) -> int:
        """At how many steps module i = `module` works."""
        return self.last(module, frames) - self.wiring.first_forward(module) + 1

    def gamma(self, module: int, frames: int) -> int:
        """Over how many losses the gradients of module i = `module` are averaged."""
        return self.frames_seen(self.depth, frames)

    def check_frames(self, frames: int) -> None:
        super().check_frames(frames)
        if self.frames_seen(self.depth, frames) < 1:
            raise UserError(
                f"{frames} frames are too few: with these skips an output brings together "
                f"{self.wiring.history + 1} frames; give at least as many"
            )

    def link(self, h: tf.Tensor, edge: Edge, frames: int) -> tf.Tensor:
        """From a module's output, all steps folded, to what `edge` brings its target."""
        return _cut(h, self._span(edge, frames))

    def _span(self, edge: Edge, frames: int) -> Span:
        firsts = [self.wiring.first_forward(i) for i in (edge.source, edge.target)]
        source, target = (self.frames_seen(i, frames) for i in (edge.source, edge.target))
        return Span(source, firsts[1] - edge.delay - firsts[0], target)

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
            # The last `seen` targets: of Sideways, the output of frame tau appears at step
            # tau + D - 1.
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
        h = tf.ensure_shape(h, [known, *clip.shape[2:]])
        given: list[tf.Tensor] = []
        memories = []
        for i, module in enumerate(self.modules, 1):
            seen = self.frames_seen(i, frames)
            memory = dict(zip([v.ref() for v in module.state], module.memory(), strict=True))
            numbers = tf.range(1, seen + 1)
            step = Step(seen, numbers, seeds[i - 1], memory, True, self.network.masks)
            if i > 1:
                h = self.network.input_of(
                    i, lambda edge: self.link(given[edge.source - 1], edge, frames)
                )
            given.append(module.forward(h, step))
            memories.append(memory_after(module, step))
        return given[-1], memories


class TimeShiftedSideways(BatchedBackprop):
    """The pseudo-gradients, loss and outputs of `PipelinedSideways`, at batched BP's speed."""

    needs_cycle = True

    def last(self, module: int, frames: int) -> int:
        """All modules work until the episode ends."""
        return frames

    def gamma(self, module: int, frames: int) -> int:
        return self.wiring.gamma(module, frames)

    def link(self, h: tf.Tensor, edge: Edge, frames: int) -> tf.Tensor:
        # At its step t the source meets what the target computed at step t - 1.
        due = self.wiring.first_backward(edge.source)
        zeros = due - self.wiring.first_forward(edge.source)
        start = due - 1 - self.wiring.first_forward(edge.target)
        return shifted_link(h, self._span(edge, frames), zeros, start)


class Span(NamedTuple):
    """Of `total` folded steps, the `taken` ones after the first `start`."""

    total: int
    start: int
    taken: int


def _batch(h: tf.Tensor, total: int) -> tf.Tensor | int:
    return h.shape[0] // total if h.shape[0] is not None else tf.shape(h)[0] // total


def _cut(h: tf.Tensor, span: Span) -> tf.Tensor:
    """The steps `span` of h [T * B, ...]."""
    if span.taken == span.total:
        return h
    batch = _batch(h, span.total)
    return h[span.start * batch : (span.start + span.taken) * batch]


def shifted_link(h: tf.Tensor, span: Span, zeros: int, start: int) -> tf.Tensor:
    """The steps `span` of h [T * B, ...] forward; the gradient shifted backward.

    Args:
      zeros: how many steps of the source, the first ones, meet nothing yet.
      start: how many steps of the target, the first ones, have sent nothing by then; and the last
        is never met.
    """
    batch = _batch(h, span.total)

    @tf.custom_gradient
    def link(h: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def shift(gradient: tf.Tensor) -> tf.Tensor:
            met = gradient[start * batch : (span.taken - 1) * batch]
            return tf.concat([tf.zeros_like(h[: zeros * batch]), met], axis=0)

        return h[span.start * batch : (span.start + span.taken) * batch], shift

    return link(h)

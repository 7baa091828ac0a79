"""All frames of a clip at once, on one device: batched BP, and Sideways by a shift in time.

Weights are constant inside an episode, so that all frames can be computed at once: folded into the
batch axis, where batch norm and dropout keep them apart. For Sideways, module i holds frame
tau = t - i + 1 at step t and meets there what module i + 1 computed at step t - 1 at frame
(t - 1) - (i + 1) + 1 = tau - 2. So between two modules the forward pass is the identity, less the
last frame, which module i + 1 never reaches; the backward pass moves the gradient two frames on.
K = 6, D = 3, the frames of each module (":" holds one that meets no pseudo-gradient, gamma_i^t = 0,
and only goes forward):

    module 3   1  2  3  4
    module 2   :  :  3  4  5           frame 3 meets what module 3 computed at frame 1
    module 1   :  :  :  :  5  6        frame 5 meets what module 2 computed at frame 3
"""

from __future__ import annotations

import contextlib
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
    another last step, steps that only go forward, and another gradient between the modules.
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

    def quiet(self, module: int) -> int:
        """At how many steps, its first, module i = `module` only goes forward."""
        del module
        return 0

    def link(self, source: list[Piece], edge: Edge, frames: int) -> list[tf.Tensor]:
        """What `edge` brings of its source's output, for each of the target's pieces."""
        late = self._late(edge)
        return [_taken(source, steps, late) for steps in self.pieces(edge.target, frames)]

    def _late(self, edge: Edge) -> int:
        """At its n-th step the target of `edge` reads its source's step n + `_late`."""
        first = self.wiring.first_forward
        return first(edge.target) - edge.delay - first(edge.source)

    def pieces(self, module: int, frames: int) -> list[range]:
        """The steps of module i = `module`, counted from 0, as they are computed at once.

        Apart are those that only go forward; and those that do so in module 1, since what comes
        after them lies in one piece in all modules: it goes from one to the next without a copy.
        """
        seen = self.frames_seen(module, frames)
        cuts = sorted({0, self.quiet(module), min(self.quiet(1), seen), seen})
        return [range(*ends) for ends in zip(cuts, cuts[1:], strict=False)]

    def compute(
        self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor
    ) -> tuple[Episode, list[list[tf.Tensor]]]:
        frames = clip.shape[0]
        weights = [list(module.trainable_variables) for module in self.modules]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            outputs, memories = self._forward(clip, module_seeds(seed, self.depth), tape)
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
        self, clip: tf.Tensor, seeds: list[tf.Tensor], tape: tf.GradientTape
    ) -> tuple[tf.Tensor, list[list[tf.Tensor]]]:
        """All modules over all frames: h_D [T * B, ...], and what each module remembers."""
        frames = clip.shape[0]
        h = tf.reshape(clip, tf.concat([[-1], tf.shape(clip)[2:]], 0))
        known = None if clip.shape[1] is None else frames * clip.shape[1]
        h = tf.ensure_shape(h, [known, *clip.shape[2:]])
        given: list[list[Piece]] = []
        memories = []
        for i, module in enumerate(self.modules, 1):
            memory = dict(zip([v.ref() for v in module.state], module.memory(), strict=True))
            pieces = self.pieces(i, frames)
            if i == 1:
                read = [_taken([Piece(range(frames), h)], steps) for steps in pieces]
            else:
                read = self._joined(i, given, frames)
            given.append([])
            for steps, h_in in zip(pieces, read, strict=True):
                numbers = tf.range(steps.start + 1, steps.stop + 1)
                step = Step(len(steps), numbers, seeds[i - 1], memory, True, self.network.masks)
                quiet = steps.stop <= self.quiet(i)
                with tape.stop_recording() if quiet else contextlib.nullcontext():
                    given[-1].append(Piece(steps, module.forward(h_in, step)))
            memories.append(memory_after(module, step))
        return _taken(given[-1], range(self.frames_seen(self.depth, frames))), memories

    def _joined(self, i: int, given: list[list[Piece]], frames: int) -> list[tf.Tensor]:
        """What module i > 1 reads of what the modules below have `given`, for each piece."""
        edges = self.wiring.into(i)
        links = [self.link(given[edge.source - 1], edge, frames) for edge in edges]
        brought = [dict(zip(edges, parts, strict=True)) for parts in zip(*links, strict=True)]
        return [self.network.input_of(i, parts.__getitem__) for parts in brought]


class TimeShiftedSideways(BatchedBackprop):
    """The pseudo-gradients, loss and outputs of `PipelinedSideways`, faster than batched BP.

    As there, a module does not go backward at the steps that come before its first pseudo-gradient,
    2(D - i) of module i without skips.
    """

    needs_cycle = True

    def last(self, module: int, frames: int) -> int:
        """All modules work until the episode ends."""
        return frames

    def gamma(self, module: int, frames: int) -> int:
        return self.wiring.gamma(module, frames)

    def quiet(self, module: int) -> int:
        return self.wiring.first_backward(module) - self.wiring.first_forward(module)

    def link(self, source: list[Piece], edge: Edge, frames: int) -> list[tf.Tensor]:
        """At its step t the source meets what the target computed at step t - 1."""
        late, pieces = self._late(edge), self.pieces(edge.target, frames)
        first = self.wiring.first_forward
        sooner = first(edge.source) - first(edge.target) - 1
        heard = [steps for steps in pieces if steps.start >= self.quiet(edge.target)]
        quiet = [piece for piece in source if piece.steps.stop <= self.quiet(edge.source)]
        loud = source[len(quiet) :]

        @tf.custom_gradient
        def shifted(*values: tf.Tensor) -> tuple[list[tf.Tensor], Callable[..., list[tf.Tensor]]]:
            def shift(*gradients: tf.Tensor) -> list[tf.Tensor]:
                sent = [Piece(*each) for each in zip(heard, gradients, strict=True)]
                return [_taken(sent, piece.steps, sooner) for piece in loud]

            now = [Piece(p.steps, value) for p, value in zip(loud, values, strict=True)]
            return [_taken([*quiet, *now], steps, late) for steps in heard], shift

        before = pieces[: len(pieces) - len(heard)]
        return [
            *(_taken(quiet, steps, late) for steps in before),
            *shifted(*(piece.h for piece in loud)),
        ]


class Piece(NamedTuple):
    """What a module gives at many of its `steps`, counted from 0: h [steps * B, ...]."""

    steps: range
    h: tf.Tensor


def _taken(pieces: list[Piece], steps: range, late: int = 0) -> tf.Tensor:
    """Of what lies in pieces, the `steps`, each plus `late`; a copy only where they are several."""
    start, stop = steps.start + late, steps.stop + late
    parts = []
    for own, h in pieces:
        first, last = max(start, own.start), min(stop, own.stop)
        if (first, last) == (own.start, own.stop):
            parts.append(h)
        elif first < last:
            batch = h.shape[0] // len(own) if h.shape[0] is not None else tf.shape(h)[0] // len(own)
            parts.append(h[(first - own.start) * batch : (last - own.start) * batch])
    return parts[0] if len(parts) == 1 else tf.concat(parts, 0)

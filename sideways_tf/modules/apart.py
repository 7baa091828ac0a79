"""Refuses modules that would mix frames where an engine folds them into the batch axis.

A module is tried on two frames of which one is exchanged for another: nothing of the frame that
stays may change with it, neither its output nor what goes back to its input and weights; nor with
what goes back through the other. All these runs have the same shapes, so that they round alike:
what differs is no rounding. At last each frame is tried by itself, which shows what depends on the
size of the batch, or on the place in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.modules.block import SidewaysBlock
from sideways_tf.modules.folded_norm import can_fold
from sideways_tf.modules.join import joined
from sideways_tf.modules.step import Step, plain
from sideways_tf.modules.wiring import Wiring

# Not two, which batch norm makes 1 and -1, whatever they are: it hides their gradient.
EXAMPLES = 3
# Of the largest number: kernels may share out their sums otherwise when an input changes.
TOLERANCE = 1e-6
# Of sums in another order.
SUM_TOLERANCE = 1e-4
# Against one frame by itself, in kernels of another batch size. What only depends on the batch
# size differs by far more.
LOOSE_TOLERANCE = 1e-3
# Of gradients, as a whole: rounding may turn over a ReLU that is near zero.
WHOLE_TOLERANCE = 0.05
ROUNDS_BY = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}


class Tried(NamedTuple):
    """One run: output, [gradient of the input] where it has one, gradients of the weights."""

    out: tf.Tensor
    below: list[tf.Tensor]
    weights: list[tf.Tensor]


# (input [T * B, ...], float32 [2 * B]: how loud the gradient from above is at each row of two
# frames, int32 [T * B]: which of these rows the input's are) -> Tried.
Trial = Callable[..., Tried]
BOTH = np.arange(2 * EXAMPLES)


def check_apart_in_time(modules: Sequence[SidewaysBlock], wiring: Wiring | None = None) -> None:
    """Try each module, on what the modules that it reads give; see above.

    Raises:
      UserError: naming the module that keeps state of its own, mixes the examples of a batch, adds
        to the loss, or draws random numbers of its own (those would not repeat when a run is
        continued).
    """
    wiring = wiring or Wiring(len(modules))
    given: list[list[tf.Tensor]] = []
    for number, module in enumerate(modules, 1):
        reason = _reason(module)
        if reason is None:
            read = [[given[e.source - 1][n] for e in wiring.into(number)] for n in (0, 1)]
            frames = [joined(each, wiring.join) for each in read] if given else _frames(module)
            run = _trial(module)
            try:
                if not _keeps_apart(run, frames[0], frames[1], _unit(module)):
                    reason = "mixes the examples of a batch"
                given.append([run(h, tf.ones([2 * EXAMPLES]), BOTH).out for h in frames])
            except (ValueError, tf.errors.InvalidArgumentError):
                reason = "does not take batches of another size"
        if reason:
            raise UserError(
                f"module {number} ({module.layer.name}) {reason}, so its frames cannot be computed "
                "all at once: use engine=pipelined (bp: frame_by_frame), which runs it frame "
                "by frame"
            )


def _reason(module: SidewaysBlock) -> str | None:
    facts = module.facts
    statistics = folded_statistics(module.layer)
    others = [v for v in facts.moved if v.ref() not in statistics]
    if others:
        return f"assigns state of its own ({others[0].name}) as it trains"
    if facts.random:
        return f"draws random numbers of its own ({facts.random[0]})"
    if facts.adds_loss:
        return "adds to the loss at each step (an activity regularizer or add_loss)"
    return None


def folded_statistics(layer: tf.keras.layers.Layer) -> set:
    """The moving statistics that `folded_norm.py` keeps apart, by reference."""
    norms = [inner for inner in layer._flatten_layers() if can_fold(inner)]
    pairs = [(norm.moving_mean, norm.moving_variance) for norm in norms if norm.built]
    return {plain(v).ref() for pair in pairs for v in pair}


def _frames(module: SidewaysBlock) -> list[tf.Tensor]:
    """Two inputs of two frames each, which share none: pixels, or small whole numbers."""
    spec = module.facts.h_in
    shape, count = [2 * EXAMPLES, *spec.shape[1:]], 2
    if spec.dtype.is_floating:
        low, high = 0.05, 0.95  # Positive, for those who take a root or a logarithm of pixels.
        drawn = [
            tf.random.stateless_uniform(shape, [1, n], low, high, tf.float32) for n in range(count)
        ]
        scale = tf.reshape(tf.linspace(0.3, 1.0, shape[0]), [-1] + [1] * (len(shape) - 1))
        drawn = [values * scale for values in drawn]  # Unlike statistics in the two frames.
    else:
        drawn = [tf.random.stateless_uniform(shape, [1, n], 0, 2, tf.int32) for n in range(count)]
    return [tf.cast(values, spec.dtype) for values in drawn]


def _unit(module: SidewaysBlock) -> float:
    """What half precision rounds by, where the module has any; else 0."""
    kinds = {getattr(layer, "compute_dtype", "") for layer in module.layer._flatten_layers()}
    return max((ROUNDS_BY[kind] for kind in kinds & {"float16", "bfloat16"}), default=0.0)


def _keeps_apart(run: Trial, left: tf.Tensor, right: tf.Tensor, unit: float) -> bool:
    for first in (True, False):
        stays = tf.constant([first] * EXAMPLES + [not first] * EXAMPLES)
        share = tf.cast(stays, tf.float32)
        mixed = tf.where(_rows(stays, left), left, right)
        before, exchanged = run(left, share, BOTH), run(mixed, share, BOTH)
        louder, others = run(mixed, tf.ones_like(share), BOTH), run(mixed, 1 - share, BOTH)
        if not _close(before.out[stays], exchanged.out[stays], TOLERANCE):
            return False
        pairs = list(zip(before.weights, exchanged.weights, strict=True))
        for other in (exchanged, louder):
            pairs += [(a[stays], b[stays]) for a, b in zip(before.below, other.below, strict=True)]
        sums = [a + b for a, b in zip(exchanged.weights, others.weights, strict=True)]
        summed = zip(sums, louder.weights, strict=True)
        noise = _noise([*louder.below, *louder.weights], unit)
        if not all(_close(*pair, TOLERANCE, noise) for pair in pairs):
            return False
        if not all(_close(*pair, max(SUM_TOLERANCE, 16 * unit), noise) for pair in summed):
            return False
        alone = run(left[stays], share, BOTH[stays])
        if not _close(before.out[stays], alone.out, max(LOOSE_TOLERANCE, 16 * unit)):
            return False
        pairs = [(a[stays], b) for a, b in zip(before.below, alone.below, strict=True)]
        pairs += zip(before.weights, alone.weights, strict=True)
        if not all(_alike(*pair, max(WHOLE_TOLERANCE, 2 * unit**0.5), noise) for pair in pairs):
            return False
    return True


def _noise(gradients: Sequence[tf.Tensor], unit: float) -> float:
    """Below it a gradient is rounding alone: that of a bias before a batch norm, which is zero."""
    largest = [float(tf.reduce_max(tf.abs(g))) for g in gradients if tf.size(g)]
    units = [ROUNDS_BY[g.dtype.name] for g in gradients]
    return 64 * max([unit, *units]) * max(largest, default=0.0)


def _rows(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    return tf.reshape(values, [-1] + [1] * (len(like.shape) - 1))


def _close(left: tf.Tensor, right: tf.Tensor, tolerance: float, noise: float = 0.0) -> bool:
    """Whether they agree to `tolerance` of the largest number; where one is NaN, the other is."""
    left, right = np.float64(tf.cast(left, tf.float64)), np.float64(tf.cast(right, tf.float64))
    largest = np.abs(right[np.isfinite(right)]).max(initial=0.0)
    return np.allclose(left, right, rtol=0.0, atol=tolerance * largest + noise, equal_nan=True)


def _alike(left: tf.Tensor, right: tf.Tensor, tolerance: float, noise: float) -> bool:
    """Whether they agree to `tolerance` as a whole (L2), where both are finite."""
    left, right = np.float64(tf.cast(left, tf.float64)), np.float64(tf.cast(right, tf.float64))
    finite = np.isfinite(left) & np.isfinite(right)
    apart, size = np.linalg.norm((left - right)[finite]), np.linalg.norm(right[finite])
    return bool(apart <= tolerance * size + noise * finite.sum() ** 0.5)


def _trial(module: SidewaysBlock) -> Trial:
    """Forward and backward on folded frames of EXAMPLES rows each, in a graph of its own.

    No tape: this may run where tapes do not record, in an `init_scope`.
    """
    variables = [plain(v) for v in module.trainable_variables]

    def run(h: tf.Tensor, share: tf.Tensor, rows: tf.Tensor) -> Tried:
        count = h.shape[0] // EXAMPLES
        memory = dict(zip([v.ref() for v in module.state], module.memory(), strict=True))
        step = Step(count, tf.range(1, count + 1), tf.constant([3, 4]), memory, folded=True)
        with tf.device(module.device):
            out = module.forward(h, step)
            if not out.dtype.is_floating:
                return Tried(out, [], [])
            drawn = tf.random.stateless_normal([len(BOTH), *out.shape[1:]], [5, 1])
            above = tf.gather(drawn * _rows(share, out), rows)
            floats = [h] if h.dtype.is_floating else []
            found = tf.gradients(
                [out], floats + variables, [tf.cast(above, out.dtype)],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )  # fmt: skip
        found = [tf.convert_to_tensor(g) for g in found]
        return Tried(out, found[: len(floats)], found[len(floats) :])

    graph = tf.function(run, autograph=False)
    return lambda h, share, rows: graph(h, share, tf.constant(rows))

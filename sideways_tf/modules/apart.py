"""Refuses modules that would mix frames where an engine folds them into the batch axis.

A module is tried on two frames of which one is exchanged for another: nothing of the frame that
stays may change with it, neither its output nor what goes back to its input and weights. Both runs
have the same shapes, so that they round alike: what differs is no rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.modules.block import SidewaysBlock
from sideways_tf.modules.folded_norm import can_fold
from sideways_tf.modules.step import Step, plain

EXAMPLES = 2
# Of the largest number: kernels may share out their sums otherwise when a NaN-free input changes.
TOLERANCE = 1e-6
# Against one frame by itself, in kernels of another batch size. What only depends on the batch
# size differs by far more.
LOOSE_TOLERANCE = 1e-3


class Tried(NamedTuple):
    """One run: output, [gradient of the input] ([] where it has none), gradients of the weights."""

    out: tf.Tensor
    below: list[tf.Tensor]
    weights: list[tf.Tensor]


def check_apart_in_time(modules: Sequence[SidewaysBlock]) -> None:
    """Try each module; see above.

    Raises:
      UserError: naming the module that keeps state of its own, mixes the examples of a batch, adds
        to the loss, or draws random numbers of its own (those would not repeat when a run is
        continued).
    """
    frames: list[tf.Tensor] = []
    for number, module in enumerate(modules, 1):
        reason = _reason(module)
        if reason is None:
            frames = frames or _frames(module)
            reason = None if _keeps_apart(module, *frames) else "mixes the examples of a batch"
            frames = [_run(module, h).out for h in frames]
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
    norms = [inner for inner in [layer, *layer.submodules] if can_fold(inner)]
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


def _keeps_apart(module: SidewaysBlock, left: tf.Tensor, right: tf.Tensor) -> bool:
    for first in (True, False):
        stays = tf.constant([first] * EXAMPLES + [not first] * EXAMPLES)
        before = _run(module, left, stays, 0)
        exchanged = _run(module, tf.where(_rows(stays, left), left, right), stays, 0)
        louder = _run(module, tf.where(_rows(stays, left), left, right), stays, 1)
        pairs = [(before.out[stays], exchanged.out[stays])]
        pairs += zip(before.weights, exchanged.weights, strict=True)
        pairs += [
            (a[stays], b[stays])
            for other in (exchanged, louder)
            for a, b in zip(before.below, other.below, strict=True)
        ]
        if not all(_close(*pair, TOLERANCE) for pair in pairs):
            return False
    alone = _run(module, left[:EXAMPLES])
    return _close(before.out[:EXAMPLES], alone.out, LOOSE_TOLERANCE)


def _rows(stays: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    return tf.reshape(stays, [-1] + [1] * (len(like.shape) - 1))


def _close(left: tf.Tensor, right: tf.Tensor, tolerance: float) -> bool:
    left, right = tf.cast(left, tf.float64), tf.cast(right, tf.float64)
    largest = tf.reduce_max(tf.abs(right)) if tf.size(right) else 0.0
    return bool(tf.reduce_all(tf.abs(left - right) <= tolerance * largest))


def _run(
    module: SidewaysBlock, h: tf.Tensor, stays: tf.Tensor | None = None, others: float = 0.0
) -> Tried:
    """Forward on one frame or two; and backward, where `stays` says which rows do.

    The gradient from above of the other rows is `others` times a random one.
    """
    count = h.shape[0] // EXAMPLES
    memory = dict(zip([v.ref() for v in module.state], module.memory(), strict=True))
    step = Step(count, tf.range(1, count + 1), tf.constant([3, 4]), memory, folded=True)
    with tf.device(module.device), tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(module.trainable_variables)
        if h.dtype.is_floating:
            tape.watch(h)
        out = module.forward(h, step)
    if stays is None or not out.dtype.is_floating:
        return Tried(out, [], [])
    above = tf.cast(tf.random.stateless_normal(out.shape, [5, 1]), out.dtype)
    above = tf.where(_rows(stays, out), above, tf.cast(others, out.dtype) * above)
    sources = [[h] if h.dtype.is_floating else [], list(module.trainable_variables)]
    below, weights = tape.gradient(out, sources, above, unconnected_gradients="zero")
    return Tried(out, below, [tf.convert_to_tensor(g) for g in weights])

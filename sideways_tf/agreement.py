"""How far pseudo-gradients agree with true gradients, module by module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sideways_tf.engines import make_engine
from sideways_tf.engines.batched import BatchedBackprop


class Agreement(NamedTuple):
    """Of one batch, by module; NaN where either gradient is zero or there is none.

    Attributes:
      cosine: float [D] in [-1, 1], between pseudo-gradient and true gradient.
      norm_ratio: float [D], L2 norm of the pseudo-gradient over that of the true gradient.
    """

    cosine: tf.Tensor
    norm_ratio: tf.Tensor


def reference_engine(engine: Any) -> Any:
    """BP on the modules of `engine`: all frames at once where it does so, too."""
    network = engine.network
    at_once = isinstance(engine, BatchedBackprop) or network.wiring.history
    reference = make_engine(
        "bp", engine.modules, network.loss, "batched" if at_once else "frame_by_frame",
        masks=network.masks, loss_scale=network.loss_scale, wiring=network.wiring,
    )  # fmt: skip
    reference.network.specs = network.specs
    return reference


def compare(
    pseudo: Sequence[Sequence[tf.Tensor]], true: Sequence[Sequence[tf.Tensor]]
) -> Agreement:
    """For each module the cosine and the norm ratio over all its gradients' numbers."""
    rows = [_compare_module(p, t) for p, t in zip(pseudo, true, strict=True)]
    cosines, ratios = zip(*rows, strict=True)
    return Agreement(tf.stack(cosines), tf.stack(ratios))


def _compare_module(
    pseudo: Sequence[tf.Tensor], true: Sequence[tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    if not pseudo:
        return tf.constant(float("nan")), tf.constant(float("nan"))
    # float64: squares of small gradients underflow in float32.
    left, right = _numbers(pseudo), _numbers(true)
    left_norm, right_norm = tf.norm(left), tf.norm(right)
    cosine = tf.tensordot(left, right, 1) / (left_norm * right_norm)
    missing = tf.logical_or(left_norm == 0.0, right_norm == 0.0)
    nan = tf.constant(float("nan"), tf.float64)
    values = (tf.where(missing, nan, x) for x in (cosine, left_norm / right_norm))
    cosine, ratio = (tf.cast(x, tf.float32) for x in values)
    return cosine, ratio


def _numbers(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(tf.cast(g, tf.float64), [-1]) for g in gradients], 0)

"""Losses and targets as Keras users give them, turned into those of single computation steps."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from sideways_tf.engines.passes import Loss
from sideways_tf.errors import UserError

MEANS = (None, "auto", "sum_over_batch_size")


def frame_loss(loss: Any) -> Loss:
    """The loss of one computation step, by example, from a name, a Keras loss or a function.

    Raises:
      UserError: if there is none or several, or it sums where the engines take the mean.
    """
    if loss is None or isinstance(loss, list | tuple | dict):
        raise UserError(f"loss={loss}: give one loss, that of module D's output")
    found = tf.keras.losses.get(loss)
    reduction = getattr(found, "reduction", None)
    if reduction not in MEANS:
        raise UserError(
            f"loss with reduction={reduction}: the mean over examples and frames is taken; leave "
            "the reduction out"
        )
    return found


def per_frame(targets: tf.Tensor, frames: int, output: tf.TensorShape) -> tf.Tensor:
    """Targets as `fit` takes them -> one for each computation step, [K, B, ...].

    Args:
      targets: [B, ...], one for a clip, which holds for all its frames; or [B, K, ...] or
        [B, 1, ...], by frame.
      frames: K.
      output: shape of the network's output, without the batch.

    Raises:
      UserError: where [B, K] may be meant either way.
    """
    by_frame = targets.shape.rank > 1 and targets.shape[1] in (1, frames)
    by_clip = targets.shape[1:].is_compatible_with(output)
    if by_frame and by_clip and frames > 1 and targets.shape[1] == frames:
        raise UserError(
            f"targets of shape {targets.shape} may be one for each of {frames} frames, or {frames} "
            f"numbers for a clip: give [B, {frames}, 1] or [B, 1, {frames}]"
        )
    if not by_frame or (by_clip and targets.shape.rank > 1 and targets.shape[1] != 1):
        return tf.repeat(targets[tf.newaxis], frames, axis=0)
    turned = tf.transpose(targets, [1, 0, *range(2, len(targets.shape))])
    return turned if targets.shape[1] == frames else tf.repeat(turned, frames, axis=0)

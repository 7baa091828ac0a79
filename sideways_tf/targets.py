"""Losses and targets as Keras users give them, turned into those of single computation steps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from sideways_tf.engines.passes import Loss, step_loss
from sideways_tf.errors import UserError

PROBABILITIES = (
    tf.keras.losses.binary_crossentropy,
    tf.keras.losses.categorical_crossentropy,
    tf.keras.losses.sparse_categorical_crossentropy,
)
MEANS = (None, "auto", "none", "sum_over_batch_size")


def frame_loss(loss: Any) -> Loss:
    """The loss of one computation step, by example, from a name, a Keras loss or a function.

    Raises:
      UserError: if there is none or several, or it sums where the engines take the mean.
    """
    if loss is None or isinstance(loss, list | tuple | dict):
        raise UserError(f"loss={loss}: give one loss, that of module D's output")
    try:
        found = tf.keras.losses.get(loss)
    except (ValueError, TypeError):
        raise UserError(f"loss={loss}: Keras knows no such loss") from None
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
      UserError: where [B, K] may be meant either way; or neither.
    """
    by_frame = targets.shape.rank > 1 and targets.shape[1] in (1, frames)
    by_clip = targets.shape[1:].is_compatible_with(output)
    if by_frame and by_clip and frames > 1 and targets.shape[1] == frames:
        raise UserError(
            f"targets of shape {targets.shape} may be one for each of {frames} frames, or {frames} "
            f"numbers for a clip: give [B, {frames}, 1] or [B, 1, {frames}]"
        )
    if targets.shape.rank - int(by_frame and not by_clip) > output.rank + 1:
        raise UserError(
            f"targets of shape {targets.shape} fit neither {frames} frames nor a clip, for outputs "
            f"of shape {output}: give one for each clip, [B, ...], or frame, [B, {frames}, ...]"
        )
    if not by_frame or (by_clip and targets.shape.rank > 1 and targets.shape[1] != 1):
        return tf.repeat(targets[tf.newaxis], frames, axis=0)
    turned = tf.transpose(targets, [1, 0, *range(2, len(targets.shape))])
    return turned if targets.shape[1] == frames else tf.repeat(turned, frames, axis=0)


def check_loss(loss: Loss, targets: tf.Tensor, outputs: tf.TensorSpec) -> None:
    """Try the loss on targets [K, B, ...] and outputs [B, ...] without computing a number.

    Raises:
      UserError: where it does not take them, or takes probabilities, which half precision rounds:
        1 - p is lost, and so is a p below 6e-8.
    """
    arguments = getattr(loss, "_fn_kwargs", {})
    function = getattr(loss, "fn", loss)
    if outputs.dtype.size < 4 and function in PROBABILITIES and not arguments.get("from_logits"):
        raise UserError(
            f"the loss {function.__name__} takes probabilities, which {outputs.dtype.name} rounds: "
            "end the network in logits and give the loss from_logits=True, or make its last layer "
            'float32 (dtype="float32")'
        )
    one = tf.TensorSpec(targets.shape[1:], targets.dtype)
    traced = tf.function(lambda y, out: step_loss(loss, y, out), autograph=False)
    traced.get_concrete_function(one, outputs)


def first_specs(data: Any, targets: Any) -> tuple[list[tf.TensorSpec], Any]:
    """What the clips and the targets of a batch are, B unknown, as far as it shows; and the data.

    Args:
      data, targets: x and y as `fit` takes them; an iterator is whole again in what is returned.
    """
    if isinstance(data, tf.data.Dataset):
        parts = tf.keras.utils.unpack_x_y_sample_weight(data.element_spec)[:2]
        found = [part for part in parts if isinstance(part, tf.TensorSpec) and part.shape.rank]
        return [tf.TensorSpec([None, *part.shape[1:]], part.dtype) for part in found], data
    batch = (data, targets)
    if isinstance(data, tf.keras.utils.Sequence):
        batch = tf.keras.utils.unpack_x_y_sample_weight(data[0])
    elif isinstance(data, Iterator) and not isinstance(data, tf.data.Iterator):
        first = next(data)
        batch, data = tf.keras.utils.unpack_x_y_sample_weight(first), itertools.chain([first], data)
    return [_spec(part) for part in batch[:2] if np.ndim(part)], data


def _spec(part: Any) -> tf.TensorSpec:
    """Keras makes floating-point numbers of its own kind of all that are."""
    kind = tf.as_dtype(getattr(part, "dtype", None) or np.asarray(part).dtype)
    kind = tf.as_dtype(tf.keras.backend.floatx()) if kind.is_floating else kind
    return tf.TensorSpec([None, *np.shape(part)[1:]], kind)

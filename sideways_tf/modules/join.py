"""What a module makes of all that it reads, and which part of its pseudo-gradient goes to whom."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.modules.wiring import Wiring


def joined(parts: Sequence[tf.Tensor], join: str) -> tf.Tensor:
    """The input of a module from what it reads, each [B, ...]; see `Wiring.join`."""
    if len(parts) == 1:
        return parts[0]
    return tf.add_n(parts) if join == "add" else tf.concat(parts, -1)


def joined_spec(wiring: Wiring, module: int, outputs: Sequence[tf.TensorSpec]) -> tf.TensorSpec:
    """The spec of the input of `module`.

    Args:
      outputs: the specs of what the modules below it emit.

    Raises:
      UserError: if what it reads does not join.
    """
    edges = wiring.into(module)
    first, *others = (outputs[edge.source - 1] for edge in edges)
    for edge, spec in zip(edges[1:], others, strict=True):
        fits = first.shape.rank == spec.shape.rank and first.shape.rank > 1
        end = -1 if wiring.join == "concat" else None
        if not fits or spec.dtype != first.dtype or spec.shape[1:end] != first.shape[1:end]:
            raise UserError(
                f"skips: module {edge.source} gives {spec.dtype.name} {list(spec.shape[1:])} for "
                f"an example, which cannot be joined (join={wiring.join}) with the "
                f"{first.dtype.name} {list(first.shape[1:])} that module {module} reads from "
                f"module {module - 1}: choose another source, or join=concat, which lets the last "
                "axes differ"
            )
    if not others or wiring.join == "add":
        return first
    width = sum(spec.shape[-1] for spec in (first, *others))
    return tf.TensorSpec([*first.shape[:-1], width], first.dtype)


def parts_of(below: tf.Tensor, join: str, widths: Sequence[int]) -> list[tf.Tensor]:
    """The (pseudo-)gradients of what a module reads, from that of its input.

    Args:
      widths: last axes of what it reads.
    """
    if len(widths) == 1 or join == "add":
        return [below] * len(widths)
    return tf.split(below, widths, -1)


def joined_network(
    frame: tf.keras.KerasTensor,
    layers: Sequence[tf.keras.layers.Layer],
    wiring: Wiring,
    name: str,
) -> tf.keras.Model:
    """The plain Keras model of one frame.

    Raises:
      UserError: if there is none, because the skips bring frames together.
    """
    if wiring.history:
        raise UserError(
            f"these skips bring together {wiring.history + 1} frames: there is no plain Keras "
            "model of one frame; save the model itself, or align the skips"
        )
    join = tf.keras.layers.Add if wiring.join == "add" else tf.keras.layers.Concatenate
    outputs = [layers[0](frame)]
    for i, layer in enumerate(layers[1:], 2):
        read = [outputs[edge.source - 1] for edge in wiring.into(i)]
        outputs.append(layer(join(dtype=read[0].dtype)(read) if len(read) > 1 else read[0]))
    return tf.keras.Model(frame, outputs[-1], name=name)

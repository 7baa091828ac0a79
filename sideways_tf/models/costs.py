"""What a module costs, from its graph alone: floating-point operations and parameter bytes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.models.block import SidewaysBlock, build_modules


class Cost(NamedTuple):
    """Of one module at one computation step (a batch of B frames).

    Attributes:
      forward, backward: floating-point operations, a multiply-add counts as two. Module 1 takes no
        gradient of its input.
      parameter_bytes: of its trainable variables.
    """

    forward: int
    backward: int
    parameter_bytes: int


def scratch_modules(
    layers: Sequence[tf.keras.layers.Layer], frame: tf.TensorSpec, device: str = ""
) -> tuple[list[SidewaysBlock], list[tuple[tf.TensorSpec, tf.TensorSpec]]]:
    """Copies of unbuilt `layers`, built on `device`, to be measured and thrown away.

    Args:
      frame: shape [B, ...] and dtype of a batch of frames.

    Returns:
      The copies as modules, and the specs of their inputs and outputs.
    """
    modules = [SidewaysBlock(_copy(layer), device) for layer in layers]
    return modules, build_modules(modules, frame)


def _copy(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
    if type(layer) is tf.keras.Sequential:
        return tf.keras.Sequential([_copy(inner) for inner in layer.layers], name=layer.name)
    try:
        return type(layer).from_config(layer.get_config())
    except (NotImplementedError, TypeError) as error:
        raise UserError(
            f"'{layer.name}' cannot be copied to be measured ({type(error).__name__}): give it a "
            "get_config, or place the modules by a list of devices"
        ) from error


def costs(layers: Sequence[tf.keras.layers.Layer], frame: tf.TensorSpec) -> list[Cost]:
    """The cost of each of `layers` on batches of `frame` [B, ...], counted by TensorFlow."""
    modules, specs = scratch_modules(layers, frame)
    counted = []
    for i, (module, (h_in, _)) in enumerate(zip(modules, specs, strict=True)):
        forward = _operations(lambda h, m=module: m(h, training=True), h_in)
        both = _operations(lambda h, m=module, first=i == 0: gradients(m, h, first), h_in)
        size = sum(v.dtype.size * v.shape.num_elements() for v in module.trainable_variables)
        counted.append(Cost(forward, both - forward, size))
    return counted


def gradients(module: SidewaysBlock, h: tf.Tensor, first: bool) -> list[tf.Tensor]:
    """Forward and backward of a module at `h`: gradients of its variables; of h unless first."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(module.trainable_variables)
        if not first:
            tape.watch(h)
        out = module(h, training=True)
    sources = [*module.trainable_variables, *([] if first else [h])]
    found = tape.gradient(out, sources, tf.ones_like(out), unconnected_gradients="zero")
    return [tf.convert_to_tensor(g) for g in found]


def _operations(function: Callable, h_in: tf.TensorSpec) -> int:
    graph = tf.function(function, autograph=False).get_concrete_function(h_in).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    with contextlib.redirect_stdout(io.StringIO()):  # It prints what it does not know.
        return int(tf.compat.v1.profiler.profile(graph, options=options).total_float_ops)

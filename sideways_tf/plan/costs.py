"""What a module costs, from its graph alone: floating-point operations and parameter bytes."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sideways_tf.modules.block import SidewaysBlock, build_modules
from sideways_tf.modules.join import joined
from sideways_tf.modules.slicing import units_of, why_whole
from sideways_tf.modules.split import copy_layer
from sideways_tf.modules.wiring import Wiring


class Cost(NamedTuple):
    """Of one module at one computation step (a batch of B frames).

    Attributes:
      forward, backward: floating-point operations, a multiply-add counts as two. Module 1 takes no
        gradient of its input.
      parameter_bytes: of its trainable variables.
      units: output channels that several devices can share; 0: it stays whole, and
      whole: why.
      in_bytes, out_bytes: of its input and its output.
      activation_bytes: of all that its forward pass computes, its output included.
    """

    forward: int
    backward: int
    parameter_bytes: int
    units: int = 0
    whole: str = ""
    in_bytes: int = 0
    out_bytes: int = 0
    activation_bytes: int = 0


# Operations whose outputs take no memory of their own: views, and those that run in place.
VIEWS = {
    "BiasAdd", "Cast", "Const", "Elu", "Identity", "LeakyRelu", "Placeholder", "ReadVariableOp",
    "Relu", "Relu6", "Reshape", "Selu", "Shape", "Squeeze",
}  # fmt: skip


def scratch_modules(
    layers: Sequence[tf.keras.layers.Layer],
    frame: tf.TensorSpec,
    device: str = "",
    wiring: Wiring | None = None,
) -> tuple[list[SidewaysBlock], list[tuple[tf.TensorSpec, tf.TensorSpec]]]:
    """Copies of `layers`, built on `device`, to be measured and thrown away.

    Args:
      frame: shape [B, ...] and dtype of a batch of frames.

    Returns:
      The copies as modules, and the specs of their inputs and outputs.
    """
    modules = [SidewaysBlock(copy_layer(layer), device) for layer in layers]
    return modules, build_modules(modules, frame, wiring)


def count_row(
    layers: Sequence[tf.keras.layers.Layer], frame: tf.TensorSpec, wiring: Wiring | None = None
) -> list[int]:
    """Floating-point operations of the forward pass of each of `layers`, one after the other.

    All are counted in one graph: models have hundreds of layers. Those that have no variables yet
    are counted as copies, so that counting makes none on a device of its choice.
    """
    copies = [layer if layer.built else copy_layer(layer) for layer in layers]
    wiring = wiring or Wiring(len(layers))

    def run(h: tf.Tensor) -> tf.Tensor:
        given: list[tf.Tensor] = []
        for i, layer in enumerate(copies):
            read = [given[edge.source - 1] for edge in wiring.into(i + 1)]
            with tf.name_scope(f"unit{i}"):
                given.append(layer(joined(read, wiring.join) if i else h))
        return given[-1]

    return count_scopes(run, frame, len(copies))


def count_scopes(
    function: Callable[[tf.Tensor], tf.Tensor], frame: tf.TensorSpec, count: int
) -> list[int]:
    """Floating-point operations in the name scopes unit0, unit1 ... of `function`."""
    found = {child.name: child.total_float_ops for child in _profile(function, frame).children}
    counts = [0] * count
    for name, operations in found.items():
        if match := re.match(r"unit(\d+)", name):
            counts[int(match[1])] += operations
    return counts


def costs(
    layers: Sequence[tf.keras.layers.Layer], frame: tf.TensorSpec, wiring: Wiring | None = None
) -> list[Cost]:
    """The cost of each of `layers` on batches of `frame` [B, ...], counted by TensorFlow."""
    modules, specs = scratch_modules(layers, frame, wiring=wiring)
    counted = []
    for i, (module, (h_in, h_out)) in enumerate(zip(modules, specs, strict=True)):
        forward = _operations(lambda h, m=module: m(h, training=True), h_in)
        both = _operations(lambda h, m=module, first=i == 0: gradients(m, h, first), h_in)
        size = sum(_bytes(v) for v in module.trainable_variables)
        units, reason = units_of(module.layer), why_whole(module.layer)
        sizes = _bytes(h_in), _bytes(h_out), _activation_bytes(module, h_in)
        counted.append(Cost(forward, both - forward, size, units, reason, *sizes))
    return counted


def _activation_bytes(module: SidewaysBlock, h_in: tf.TensorSpec) -> int:
    run = tf.function(lambda h: module(h, training=True), autograph=False)
    operations = run.get_concrete_function(h_in).graph.get_operations()
    # Batch norm and dropout keep small tensors beside: those of known shapes count.
    made = [out for op in operations if op.type not in VIEWS for out in op.outputs]
    known = [out for out in made if out.dtype.is_floating and out.shape.is_fully_defined()]
    return sum(map(_bytes, known))


def _bytes(tensor: tf.TensorSpec | tf.Variable) -> int:
    return tensor.dtype.size * tensor.shape.num_elements()


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
    return int(_profile(function, h_in).total_float_ops)


def _profile(function: Callable, h_in: tf.TensorSpec) -> Any:
    """TensorFlow's count of operations, by name scope."""
    graph = tf.function(function, autograph=False).get_concrete_function(h_in).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().with_max_depth(1000).build()
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # It warns of its own age, and prints what it does not know.
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return tf.compat.v1.profiler.profile(graph, cmd="scope", options=options)
    finally:
        logger.setLevel(level)

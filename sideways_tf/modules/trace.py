"""What a module's own graph tells of it, before any number is computed.

Each module is traced twice for the input it will get. The first trace makes its variables, and
executes nothing: a state that moves at each call is not moved by building. The second, with every
variable that is not trained redirected (`step.py`), shows which of them the layer moves, which
weights it reads, and whether it draws random numbers that no engine could repeat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.modules.step import Step, plain

if TYPE_CHECKING:
    from sideways_tf.modules.block import SidewaysBlock

# Kernels that draw by themselves, in TensorFlow's names; those of a step are stateless.
RANDOM_OPS = {
    "RandomStandardNormal", "RandomUniform", "RandomUniformInt", "TruncatedNormal", "RandomGamma",
    "RandomShuffle", "Multinomial", "ParameterizedTruncatedNormal", "RandomPoissonV2",
    "StatefulStandardNormalV2", "StatefulUniform", "StatefulUniformInt", "StatefulUniformFullInt",
    "StatefulTruncatedNormal", "StatefulRandomBinomial", "RngReadAndSkip", "RngSkip",
}  # fmt: skip

ASSIGN_OPS = {"AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"}


@dataclass(frozen=True)  # No tuple: Keras would take the variables in it for the module's own.
class Traced:
    """Of one module.

    Attributes:
      h_in, h_out: of a batch of frames [B, ...].
      moved: the variables that the layer itself assigns in training.
      used: every variable that it reads or moves.
      random: names of operations that draw random numbers of their own.
      adds_loss: whether a call adds to the loss (activity regularizers, `add_loss`).
    """

    h_in: tf.TensorSpec
    h_out: tf.TensorSpec
    moved: list[tf.Variable]
    used: list[tf.Variable]
    random: list[str]
    adds_loss: bool


def trace(module: SidewaysBlock, number: int, h_in: tf.TensorSpec) -> Traced:
    """Trace module i = `number` for an input like `h_in`, which builds it.

    Raises:
      UserError: if the layer does not take the input, gives anything but one tensor, or moves a
        variable where engines cannot follow.
    """
    _build(module, number, h_in)
    state = [plain(v) for v in module.layer.non_trainable_variables if not v.trainable]
    step = Step(1, tf.constant([1]), tf.constant([0, 0]))
    found: dict[str, Any] = {}

    def run(h: tf.Tensor, values: list[tf.Tensor]) -> tf.Tensor:
        step.graph = tf.compat.v1.get_default_graph()
        step.memory = dict(zip([v.ref() for v in state], values, strict=True))
        before = dict(step.memory)
        out = module.forward(h, step)
        found["moved"] = [v for v in state if step.memory[v.ref()] is not before[v.ref()]]
        found["adds_loss"] = module.activity_penalty() is not None
        return out

    with _named(module, number, h_in):
        graph = _graph_of(module, run, h_in, state)
        hidden = _assigned(graph)
        if hidden:  # Keras does not count them among the layer's: the states of stateful RNNs.
            state += hidden
            graph = _graph_of(module, run, h_in, state)
    (out,) = graph.outputs
    captured = {id(outer) for outer, _ in graph.captures}
    variables = [plain(v) for v in [*module.layer.variables, *graph.variables]]
    moved = {v.ref() for v in found["moved"]}
    used = {v.ref(): v for v in variables if id(v.handle) in captured or v.ref() in moved}
    _check_reached(module, number, [v for v in state if id(v.handle) in captured])
    return Traced(
        h_in,
        tf.TensorSpec(out.shape, out.dtype),
        found["moved"],
        list(used.values()),
        [op.name for op in _operations(graph) if op.type in RANDOM_OPS],
        found["adds_loss"],
    )


def _graph_of(
    module: SidewaysBlock, run: Callable[..., tf.Tensor], h_in: tf.TensorSpec, state: list
) -> Any:
    # All of `state` may move, until it is known.
    module.know(Traced(h_in, tf.TensorSpec(None, h_in.dtype), state, [], [], False))
    specs = [tf.TensorSpec(v.shape, v.dtype) for v in state]
    return tf.function(run, autograph=False).get_concrete_function(h_in, specs).graph


def _assigned(graph: Any) -> list[tf.Variable]:
    """The variables that operations of `graph` itself assign."""
    handles = {id(inner): id(outer) for outer, inner in graph.captures}
    assigns = [op for op in graph.get_operations() if op.type in ASSIGN_OPS]
    assigned = {handles.get(id(op.inputs[0])) for op in assigns}
    return [v for v in graph.variables if id(v.handle) in assigned]


def _build(module: SidewaysBlock, number: int, h_in: tf.TensorSpec) -> None:
    with tf.device(module.device), _named(module, number, h_in):
        function = tf.function(lambda h: module(h, training=False), autograph=False)
        out = function.get_concrete_function(h_in).structured_outputs
    if not isinstance(out, tf.Tensor | tf.TensorSpec):
        raise UserError(
            f"module {number} ({module.layer.name}) gives {type(out).__name__}: a module maps "
            "one tensor to one tensor; put the branches inside one layer"
        )
    if out.shape.rank is None or None in out.shape[1:]:
        raise UserError(
            f"module {number} ({module.layer.name}) gives an output of shape {out.shape}: all but "
            "the batch must be known; give it by tf.ensure_shape"
        )


class _named:
    """Turns what Keras says of a wrong input into one line that names the module."""

    def __init__(self, module: SidewaysBlock, number: int, h_in: tf.TensorSpec):
        self.words = (
            f"module {number} ({module.layer.name}) does not take an input of shape "
            f"{list(h_in.shape)}, {h_in.dtype.name}"
        )

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        kinds = (ValueError, TypeError, AttributeError, tf.errors.InvalidArgumentError)
        if isinstance(error, kinds):
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            # Keras puts the layer and its arguments around the one line that says what is wrong.
            reason = next((line for line in lines if not line.startswith("Exception")), "")
            raise UserError(f"{self.words}: {reason}") from error


def _check_reached(module: SidewaysBlock, number: int, missed: list[tf.Variable]) -> None:
    """Every touch of a variable that is not trained has to go through the step's memory."""
    if missed:
        raise UserError(
            f"module {number} ({module.layer.name}) reads or moves '{missed[0].name}' where "
            "engines cannot reach it (inside a tf.function of the layer's own, or by a sparse "
            "operation): use the variable in the layer's `call` itself"
        )


def _operations(graph: Any) -> list[Any]:
    """All operations of `graph` and of the functions that it calls."""
    inner = [graph._get_function(name) for name in getattr(graph, "_functions", {})]
    return [
        op
        for each in [graph, *(f.graph for f in inner if getattr(f, "graph", None) is not None)]
        for op in each.get_operations()
    ]

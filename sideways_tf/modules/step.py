"""What a module must know of the computation step it runs in.

Most layers treat every example alike and need nothing. Those that keep a state, draw random numbers
or take statistics of a batch differ: what they do belongs to one computation step, also where an
engine folds many frames into the batch axis. An engine therefore opens a `Step` around each module.
Within, and nowhere else, a layer's

    variables that move   are read from and written to `Step.memory`, not assigned: an assign inside
                          a loop holds up every device, and would take in steps without a frame
    random numbers        are a function of (seed, module, order of the draws) alone: `draws.py`
    batch norm            keeps folded frames apart: `folded_norm.py`

The layers themselves stay as they are: their classes are never touched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from sideways_tf.errors import UserError

MASKS = ("episode", "step")
_open_steps: list[Step] = []


@dataclass
class Step:
    """The frames one call of a module works on.

    Attributes:
      count: T, how many frames are folded, frame-major, into the batch axis [T * B, ...].
      frames: int32 [T], their place in the clip, from 1.
      seed: int32 [2], one per episode and module.
      memory: the newest value of every variable that moves, by `variable.ref()`.
      folded: whether the engine computes many frames at once (T may be 1 even so).
      masks: "episode": what is drawn for an example holds for all its frames, so that identical
        frames give equal results (the paper's *Intuitions*); "step": is drawn anew for each frame.
      rows: int32 [], T * B, the first axis of the module's input.
      draws: how many there were so far.
      channels: (start, stop, all) where a slice of a module runs: which output channels it has.
      slices: the weights of a module that is shared out, [slice][weight]; see `wide.py`.
      calls: of each moving statistic of a folded batch norm, its value before and those of the T
        frames [T, C] at each call.
    """

    count: int
    frames: tf.Tensor
    seed: tf.Tensor
    memory: dict[Any, tf.Tensor] = field(default_factory=dict)
    folded: bool = False
    masks: str = "episode"
    rows: tf.Tensor | None = None
    draws: int = 0
    channels: tuple[int, int, int] | None = None
    slices: list[list[tf.Tensor]] | None = None
    calls: dict[Any, tuple[tf.Tensor, list[tf.Tensor]]] = field(default_factory=dict)
    graph: object = field(default_factory=lambda: _graph())

    def next_key(self) -> tf.Tensor:
        """int32 [2], another one for each draw of the module, in the order of their calls."""
        self.draws += 1
        return tf.random.experimental.stateless_fold_in(self.seed, self.draws)

    @contextlib.contextmanager
    def active(self, variables: Sequence[tf.Variable]) -> Iterator[Step]:
        """Within: `current_step()` is this step, and `variables` live in its memory."""
        _open_steps.append(self)
        try:
            with _redirected(variables, self):
                yield self
        finally:
            _open_steps.pop()


def current_step() -> Step | None:
    """The innermost step an engine has opened; None in ordinary Keras calls.

    Keras also calls layers on placeholders, when it infers shapes: that is no computation step.
    """
    return _open_steps[-1] if _open_steps and not _infers_shapes() else None


def plain(variable: tf.Variable) -> tf.Variable:
    """The variable itself, out of the wrapper that mixed precision puts around it."""
    return getattr(variable, "_variable", variable)


@contextlib.contextmanager
def _redirected(variables: Sequence[tf.Variable], step: Step) -> Iterator[None]:
    """Within: reads of `variables` take what `step.memory` holds, assigns change it alone."""
    bare = [plain(variable) for variable in variables]
    if tf.executing_eagerly():
        # Eager kernels read variables by themselves: lend them the values, take them back.
        with _lent(bare, step):
            yield
        return
    for variable in bare:
        for name, function in _methods(variable, step).items():
            object.__setattr__(variable, name, function)
    try:
        yield
    finally:
        for variable in bare:
            for name in _methods(variable, step):
                object.__delattr__(variable, name)


@contextlib.contextmanager
def _lent(variables: Sequence[tf.Variable], step: Step) -> Iterator[None]:
    before = [tf.identity(variable) for variable in variables]
    lent = [step.memory[variable.ref()] for variable in variables]
    for variable, value in zip(variables, lent, strict=True):
        variable.assign(value)
    try:
        yield
        for variable, value in zip(variables, lent, strict=True):
            if step.memory[variable.ref()] is value:  # Else it was put there, not assigned.
                step.memory[variable.ref()] = tf.identity(variable)
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def _methods(variable: tf.Variable, step: Step) -> dict[str, Any]:
    """What stands in for the methods of `variable` that read and write it."""

    def read(no_copy: bool = False) -> tf.Tensor:
        if _infers_shapes():
            return type(variable)._read_variable_op(variable, no_copy)
        return step.memory[variable.ref()]

    def assign(value: Any, *_: Any, **__: Any) -> tf.Tensor:
        if _infers_shapes():
            return type(variable).assign(variable, value)
        if _graph() is not step.graph:
            raise UserError(
                f"'{variable.name}' is assigned inside a tf.function, tf.cond, tf.map_fn or "
                "tf.while_loop of a layer's own, out of which its value cannot travel: assign it "
                "in the layer's `call` itself"
            )
        value = tf.convert_to_tensor(value, variable.dtype)
        step.memory[variable.ref()] = tf.ensure_shape(value, variable.shape)
        return value

    return {
        "_read_variable_op": read,
        "assign": assign,
        "assign_add": lambda delta, *_, **__: assign(read() + delta),
        "assign_sub": lambda delta, *_, **__: assign(read() - delta),
    }


def _infers_shapes() -> bool:
    graph: Any = _graph()
    while graph is not None:  # A loop of the layer's has a graph of its own inside.
        if getattr(graph, "name", "").endswith("_scratch_graph"):
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


def _graph() -> object:
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()

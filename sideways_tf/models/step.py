"""What a layer must know of the computation step it runs in.

Most layers treat every example alike and need nothing. Batch norm and dropout differ: their
statistics and masks belong to one computation step, also where an engine folds many frames into
the batch axis. An engine therefore opens a `Step` around each module; the layers in
`per_step.py` read it with `current_step`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import tensorflow as tf

from sideways_tf.errors import UserError

_open_steps: list[Step] = []


@dataclass
class Step:
    """The frames one call of a module works on.

    Attributes:
      count: T, how many frames are folded, frame-major, into the batch axis [T * B, ...].
      frames: int32 [T], their place in the clip, from 1. Keys the dropout masks, so that a frame
        gets the same mask in every engine.
      seed: int32 [2], one per episode and module.
      real: bool [], False while the module holds no frame yet (t < i): moving statistics then
        stay as they are.
      moving: the newest value of every moving statistic, by `variable.ref()`. They travel here,
        not through `assign`: an assign inside a loop holds up every device (the engine assigns
        once, after the episode).
    """

    count: int
    frames: tf.Tensor
    seed: tf.Tensor
    real: tf.Tensor
    moving: dict = field(default_factory=dict)
    draws: int = 0
    graph: object = field(default_factory=lambda: _graph())

    def next_seed(self) -> tf.Tensor:
        """int32 [2], another one for each random layer of the module, in order of their calls."""
        self.draws += 1
        return tf.random.experimental.stateless_fold_in(self.seed, self.draws)

    @contextlib.contextmanager
    def active(self) -> Iterator[Step]:
        """Within: `current_step()` is this step."""
        _open_steps.append(self)
        try:
            yield self
        finally:
            _open_steps.pop()


def current_step() -> Step | None:
    """The innermost step an engine has opened; None in ordinary Keras calls.

    Raises:
      UserError: inside a graph of a layer's own, out of which moving statistics cannot travel.
    """
    step = _open_steps[-1] if _open_steps else None
    if step is None or _graph() is step.graph:
        return step
    # Keras calls layers on placeholders when it infers shapes: that is no computation step.
    if getattr(_graph(), "name", "").endswith("_scratch_graph"):
        return None
    raise UserError(
        "batch norm or dropout is called inside a tf.function, tf.map_fn or tf.while_loop of a "
        "layer's own, where engines cannot reach it: call it outside, in the layer's `call`"
    )


def _graph() -> object:
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()

"""Refuses modules that would mix frames where an engine folds them into the batch axis."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sideways_tf.engines.passes import moving_values, open_step
from sideways_tf.errors import UserError
from sideways_tf.models.block import SidewaysBlock

# Kernels may sum in another order for another batch size; a mixed batch differs by far more.
TOLERANCE = 1e-3


def check_apart_in_time(
    modules: Sequence[SidewaysBlock], specs: Sequence[tuple[tf.TensorSpec, tf.TensorSpec]]
) -> None:
    """Try each module: the outputs of one frame must not depend on another folded beside it.

    Raises:
      UserError: naming the module that keeps state of its own, mixes the examples of a batch, or
        draws random numbers of its own (those would not repeat when a run is continued).
    """
    for number, (module, (h_in, _)) in enumerate(zip(modules, specs, strict=True), 1):
        remedy = "use the pipelined engine (--engine=pipelined), which runs it frame by frame"
        if module.own_state:
            raise UserError(
                f"module {number} ({module.layer.name}) assigns state of its own "
                f"({module.own_state[0].name}) as it trains, so its frames cannot be computed all "
                f"at once: {remedy}"
            )
        if not _keeps_apart(module, h_in):
            raise UserError(
                f"module {number} ({module.layer.name}) mixes the examples of a batch or draws "
                f"random numbers of its own, so its frames cannot be computed all at once: {remedy}"
            )


def _keeps_apart(module: SidewaysBlock, h_in: tf.TensorSpec) -> bool:
    shape = [2 * h_in.shape[0], *h_in.shape[1:]]
    noise = tf.random.stateless_normal(shape, seed=[1, 2])
    scale = tf.linspace(1.0, 3.0, shape[0])  # Unlike statistics in the two frames.
    two = tf.cast(tf.reshape(scale, [-1] + [1] * (len(shape) - 1)) * noise, h_in.dtype)
    together, alone = (_run(module, two[: count * h_in.shape[0]], count) for count in (2, 1))
    together = together[: h_in.shape[0]]
    difference = tf.reduce_max(tf.abs(together - alone))
    return bool(difference <= TOLERANCE * tf.reduce_max(tf.abs(alone)))


def _run(module: SidewaysBlock, h: tf.Tensor, count: int) -> tf.Tensor:
    seed = tf.constant([3, 4])
    step = open_step(module, tf.range(1, count + 1), count, seed, moving_values(module))
    return module.forward(h, step)

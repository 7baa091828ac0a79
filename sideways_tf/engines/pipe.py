"""The pipe between the modules: what each emitted at the last computation step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from sideways_tf.engines.passes import assign_moving
from sideways_tf.models.block import SidewaysBlock


class Pipe(NamedTuple):
    """What the modules emitted at one computation step, for their neighbours to take at the next.

    Attributes:
      activations: h_1 .. h_D, each [B, ...].
      pseudo_gradients: of the inputs of modules 2 .. D, each the shape of that input.
    """

    activations: list[tf.Tensor]
    pseudo_gradients: list[tf.Tensor]


class StepResult(NamedTuple):
    """What one computation step gives beside the pipe.

    Attributes:
      loss: float [], of module D's output; zero while there is none (t < D).
      gradients: for each module, for each of its trainable variables: gamma_i^t times the
        pseudo-gradient of eq. 3.
      moving: for each module its moving statistics.
    """

    loss: tf.Tensor
    gradients: list[list[tf.Tensor]]
    moving: list[list[tf.Tensor]]


def empty_pipe(
    modules: Sequence[SidewaysBlock],
    specs: Sequence[tuple[tf.TensorSpec, tf.TensorSpec]],
    batch: int,
) -> Pipe:
    """The pipe after a restart: zeros, each on the device of the module that emits it.

    Args:
      specs: for each module those of its input and of its output.
      batch: B.
    """
    activations, pseudo_gradients = [], []
    for i, (module, (h_in, h_out)) in enumerate(zip(modules, specs, strict=True)):
        with tf.device(module.device):
            activations.append(tf.zeros([batch, *h_out.shape[1:]], h_out.dtype))
            if i > 0:
                pseudo_gradients.append(tf.zeros([batch, *h_in.shape[1:]], h_in.dtype))
    return Pipe(activations, pseudo_gradients)


def resting_pipe(modules: Sequence[SidewaysBlock], batch: int) -> Pipe:
    """The pipe as it rests in the modules' buffers; B = `batch` frames in each."""
    return Pipe(
        [read_buffer(module.activation, batch) for module in modules],
        [read_buffer(module.pseudo_gradient, batch) for module in modules[1:]],
    )


def read_buffer(buffer: tf.Variable, batch: int) -> tf.Tensor:
    """The value of a buffer [None, ...], of shape [batch, ...]; its device is the buffer's."""
    with tf.device(buffer.device):
        return tf.ensure_shape(tf.convert_to_tensor(buffer), [batch, *buffer.shape[1:]])


def rest(modules: Sequence[SidewaysBlock], pipe: Pipe, moving: Sequence[list[tf.Tensor]]) -> None:
    """Write the pipe and the moving statistics to the modules' variables."""
    for module, h in zip(modules, pipe.activations, strict=True):
        assert module.activation is not None
        module.activation.assign(h)
    for module, g in zip(modules[1:], pipe.pseudo_gradients, strict=True):
        assert module.pseudo_gradient is not None
        module.pseudo_gradient.assign(g)
    for module, values in zip(modules, moving, strict=True):
        assign_moving(module, values)

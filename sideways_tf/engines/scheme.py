"""What a scheme is: who is due at which computation step, and what meets what there."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from sideways_tf.engines.loss_scale import unscaled
from sideways_tf.engines.network import Network, State
from sideways_tf.engines.passes import Pass, backward, loss_and_gradient, zero_gradients
from sideways_tf.modules.wiring import Wiring


class Learnt(NamedTuple):
    """What one module has learnt at one computation step, zero where it is not due.

    Attributes:
      loss: [that of module D's output, and what the layer itself adds], [] where the module never
        has any.
      pseudo_gradients: of each trainable variable: gamma_i^t times that of eq. 3 (in BP, eq. 1).
    """

    loss: list[tf.Tensor]
    pseudo_gradients: list[tf.Tensor]


class Scheme(abc.ABC):
    """A way to run the modules of a network from one computation step to the next.

    Attributes:
      steps_at_once: how many steps may be in flight; 1: none begins before the last one ends.
      reads_last_step: whether modules read what others have sent at the step before.
    """

    steps_at_once = 1
    reads_last_step = False

    @abc.abstractmethod
    def due(self, wiring: Wiring, module: int, t: tf.Tensor) -> tf.Tensor:
        """gamma_i^t: bool [], whether module i has something to learn from at step t."""

    @abc.abstractmethod
    def next_due(self, wiring: Wiring, t: tf.Tensor) -> tf.Tensor:
        """The step at which a module that is due at step t is due again."""

    @abc.abstractmethod
    def counts(self, wiring: Wiring, steps: int) -> list[int]:
        """gamma_i for each module: at how many of `steps` steps it is due."""

    @abc.abstractmethod
    def step(
        self, network: Network, state: State, x: tf.Tensor, y: tf.Tensor, seeds: Sequence[tf.Tensor]
    ) -> tuple[State, list[Learnt]]:
        """The next computation step, t = state.t + 1.

        Args:
          x: [B, ...], frame x^t.
          y: [B, ...], target y^t.
          seeds: int32 [2] for each module.
        """


def learn(
    network: Network,
    number: int,
    run: Pass,
    above: tf.Tensor,
    due: tf.Tensor | None = None,
    scale: tf.Tensor | None = None,
) -> tuple[Learnt, list[tf.Tensor]]:
    """The backward pass of module i = `number`: what it learns, and [what it sends down].

    Args:
      above: the (pseudo-)gradient of its output; of module D, the target.
      due: bool [], gamma_i^t; where it is 0 nothing is computed: zeros at no cost. Nor does it
        matter then whether a user's module has finite Jacobians at an empty pipe's zeros.
        None: it is due.
      scale: float32 [], of the loss that `above` stems from; what is sent down keeps it, what is
        learnt does not; see `loss_scale.py`.
    """
    module, last = network.modules[number - 1], number == network.depth

    def computed() -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
        losses, gradient = [], above
        if last:
            value, gradient = loss_and_gradient(
                network.loss, above, run.h_out, module.device, scale
            )
            losses.append(value)
        weights, below = backward(run, gradient, number == 1, scale)
        if run.penalty is not None:
            losses.append(tf.cast(run.penalty, network.loss_type))
        return [tf.add_n(losses)] if losses else [], unscaled(weights, scale), below

    def idle() -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
        has_loss = last or run.penalty is not None
        loss = [tf.zeros([], network.loss_type)] if has_loss else []
        return loss, zero_gradients(module), [] if number == 1 else [tf.zeros_like(run.h_in)]

    with tf.device(module.device):
        loss, weights, below = computed() if due is None else tf.cond(due, computed, idle)
    return Learnt(loss, weights), below

"""One module's forward and backward pass, and the loss: what every engine is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.models.block import SidewaysBlock
from sideways_tf.models.step import Step

# (targets [N, ...], outputs [N, ...]) -> losses [N, ...], one or more numbers for each example.
Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Episode(NamedTuple):
    """What an engine returns for one clip.

    Attributes:
      loss: float [], mean over the frames that got a loss.
      outputs: float [T, B, ...], h_D of those frames, in order. BP: T = K; Sideways:
        T = K - D + 1.
      gradients: for each module, for each of its trainable variables, in their order: the mean
        over the frames (BP) or over the gamma_i steps (Sideways: pseudo-gradients, eq. 5).
    """

    loss: tf.Tensor
    outputs: tf.Tensor
    gradients: list[list[tf.Tensor]]


class Pass(NamedTuple):
    """A forward pass that can be run backward: h_out = H_i(h_in)."""

    module: SidewaysBlock
    tape: tf.GradientTape
    h_in: tf.Tensor
    h_out: tf.Tensor


def forward(module: SidewaysBlock, h_in: tf.Tensor, step: Step) -> Pass:
    """Run `module` at the activation it has just consumed, on its device."""
    with tf.device(module.device), tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(module.trainable_variables)
        if h_in.dtype.is_floating:
            tape.watch(h_in)
        h_out = module.forward(h_in, step)
    return Pass(module, tape, h_in, h_out)


def backward(run: Pass, above: tf.Tensor, first: bool) -> tuple[list[tf.Tensor], tf.Tensor | None]:
    """Eqs. 3 and 4 (eqs. 1 and 2 in BP): the products of `above` with the module's Jacobians.

    Args:
      run: the forward pass, at whose activation the Jacobians are taken.
      above: float, shape of `run.h_out`: the (pseudo-)gradient from above.
      first: whether this is module 1, whose input needs no gradient.

    Returns:
      For each trainable variable its (pseudo-)gradient; and that of the input, None in module 1.
    """
    # tape.gradient places its ops in the device scope where it is called.
    with tf.device(run.module.device):
        sources = [list(run.module.trainable_variables), [] if first else [run.h_in]]
        weights, below = run.tape.gradient(
            run.h_out, sources, above, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
    return [tf.convert_to_tensor(g) for g in weights], None if first else below[0]


def loss_and_gradient(
    loss: Loss, targets: tf.Tensor, outputs: tf.Tensor, device: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """The mean loss of one computation step, [], and its gradient, shape of `outputs`.

    Args:
      targets: [B, ...].
      outputs: float [B, ...], h_D.
    """
    with tf.device(device), tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(outputs)
        value = tf.reduce_mean(per_example(loss, targets, outputs))
    with tf.device(device):
        return value, tape.gradient(value, outputs, unconnected_gradients="zero")


def per_example(loss: Loss, targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Losses [N, ...] of N examples.

    A Keras loss object is taken without its own reduction.

    Raises:
      UserError: if `loss` has already averaged over the examples.
    """
    function = loss.call if isinstance(loss, tf.keras.losses.Loss) else loss
    values = function(targets, outputs)
    if values.shape.rank == 0:
        raise UserError(
            "the loss returns one number for the whole batch: let it return one for each example "
            "(no reduction), the engines average over examples and frames themselves"
        )
    return values


def each_on_device(
    modules: Sequence[SidewaysBlock],
    function: Callable[..., tf.Tensor],
    *values: Sequence[Sequence[tf.Tensor]],
) -> list[list[tf.Tensor]]:
    """`function` of the values of each variable of each module, on the module's device.

    Args:
      values: one or more of [[value for each trainable variable] for each module].
    """
    results = []
    for module, *parts in zip(modules, *values, strict=True):
        with tf.device(module.device):
            results.append([function(*numbers) for numbers in zip(*parts, strict=True)])
    return results


def zero_sums(modules: Sequence[SidewaysBlock]) -> list[list[tf.Tensor]]:
    """Zeros for each trainable variable of each module."""
    return each_on_device(modules, tf.zeros_like, [m.trainable_variables for m in modules])


def averages(
    modules: Sequence[SidewaysBlock], sums: Sequence[Sequence[tf.Tensor]], counts: Sequence[int]
) -> list[list[tf.Tensor]]:
    """The sums of each module divided by its count."""
    divisors = [[n] * len(module) for module, n in zip(sums, counts, strict=True)]
    return each_on_device(modules, tf.divide, sums, divisors)


def module_seeds(seed: tf.Tensor, depth: int) -> list[tf.Tensor]:
    """A seed int32 [2] for each of `depth` modules."""
    return [tf.random.experimental.stateless_fold_in(seed, i) for i in range(depth)]


def moving_values(module: SidewaysBlock) -> list[tf.Tensor]:
    """The present values of the module's moving statistics, in order."""
    return [tf.convert_to_tensor(variable) for variable in module.moving_statistics]


def open_step(
    module: SidewaysBlock,
    frames: tf.Tensor,
    count: int,
    seed: tf.Tensor,
    moving: Sequence[tf.Tensor],
    real: tf.Tensor | bool = True,
) -> Step:
    """A `Step` for `module`, its moving statistics at the values `moving`."""
    refs = [variable.ref() for variable in module.moving_statistics]
    values = dict(zip(refs, moving, strict=True))
    return Step(count, tf.convert_to_tensor(frames), seed, tf.convert_to_tensor(real), values)


def moved(module: SidewaysBlock, step: Step) -> list[tf.Tensor]:
    """The module's moving statistics after `step`, in order."""
    return [step.moving[variable.ref()] for variable in module.moving_statistics]


def assign_moving(module: SidewaysBlock, values: Sequence[tf.Tensor]) -> None:
    """Write the moving statistics back, once, after the episode."""
    for variable, value in zip(module.moving_statistics, values, strict=True):
        variable.assign(value)

"""One module's forward and backward pass, and the loss: what every engine is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.modules.block import SidewaysBlock
from sideways_tf.modules.step import Step

# (targets [B, ...], outputs [B, ...]) -> losses [B, ...], one or more numbers for each example.
Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Pass(NamedTuple):
    """A forward pass that can be run backward: h_out = H_i(h_in).

    Attributes:
      sources: the trainable variables, or slices of them: see `SidewaysBlock.sources`.
      memory: what the module remembers after it.
      penalty: [], what the layer itself has added to the loss; None if it never does.
    """

    module: SidewaysBlock
    tape: tf.GradientTape
    h_in: tf.Tensor
    h_out: tf.Tensor
    memory: list[tf.Tensor]
    penalty: tf.Tensor | None
    sources: list[Any]


def open_step(
    module: SidewaysBlock,
    frame: tf.Tensor | int,
    seed: tf.Tensor,
    memory: Sequence[tf.Tensor],
    masks: str,
) -> Step:
    """A step of `module` on one frame, with its memory."""
    refs = [variable.ref() for variable in module.state]
    values = dict(zip(refs, memory, strict=True))
    frames = tf.convert_to_tensor([frame], tf.int32)
    return Step(1, frames, seed, values, masks=masks)


def memory_after(module: SidewaysBlock, step: Step) -> list[tf.Tensor]:
    """What the module remembers after `step`, in the order of its `state`."""
    return [step.memory[variable.ref()] for variable in module.state]


def forward(module: SidewaysBlock, h_in: tf.Tensor, step: Step) -> Pass:
    """Run `module` at the activation it has just consumed, on its device."""
    with tf.device(module.device), tf.GradientTape(watch_accessed_variables=False) as tape:
        sources = module.sources(step)
        tape.watch(sources)
        if h_in.dtype.is_floating:
            tape.watch(h_in)
        h_out = module.forward(h_in, step)
        penalty = module.activity_penalty() if module.facts.adds_loss else None
    return Pass(module, tape, h_in, h_out, memory_after(module, step), penalty, sources)


def backward(
    run: Pass, above: tf.Tensor, first: bool, scale: tf.Tensor | None = None
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Eqs. 3 and 4 (eqs. 1 and 2 in BP): the products of `above` with the module's Jacobians.

    Args:
      run: the forward pass, at whose activation the Jacobians are taken.
      above: shape of `run.h_out`: the (pseudo-)gradient from above.
      first: whether this is module 1, whose input needs no gradient.
      scale: float32 [], that of the loss which `above` stems from, and by which both results are
        scaled; None: 1.

    Returns:
      For each trainable variable its (pseudo-)gradient; and [that of the input], in module 1 [].
    """
    # tape.gradient places its ops in the device scope where it is called.
    with tf.device(run.module.device):
        targets, directions = [run.h_out], [above]
        if run.penalty is not None:
            weight = tf.ones_like(run.penalty)
            if scale is not None:
                weight = tf.cast(scale, weight.dtype)
            targets, directions = [*targets, run.penalty], [above, weight]
        watched = run.h_in.dtype.is_floating and not first
        sources = [run.sources, [run.h_in] if watched else []]
        weights, below = run.tape.gradient(
            targets, sources, directions, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        if not first and not watched:  # Whole numbers: nothing can go back through them.
            below = [tf.zeros_like(run.h_in)]
        # A module that is not due gives zeros of this shape.
        weights = run.module.whole(dense(weights))
        return weights, [tf.ensure_shape(b, run.h_in.shape) for b in below]


def dense(gradients: Sequence[tf.Tensor | tf.IndexedSlices]) -> list[tf.Tensor]:
    """Gradients of weights, those that were read sparsely made whole."""
    return [tf.convert_to_tensor(g) for g in gradients]


def loss_and_gradient(
    loss: Loss,
    targets: tf.Tensor,
    outputs: tf.Tensor,
    device: str,
    scale: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The mean loss of one computation step, [], and its gradient, shape of `outputs`.

    Args:
      targets: [B, ...].
      outputs: float [B, ...], h_D.
      scale: float32 [], by which the gradient is scaled while it is float32; None: 1.
    """
    with tf.device(device), tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(outputs)
        value = step_loss(loss, targets, outputs)
    with tf.device(device):
        start = None if scale is None else tf.cast(scale, value.dtype)
        return value, tape.gradient(value, outputs, start, unconnected_gradients="zero")


def step_loss(loss: Loss, targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """The mean of the losses of one computation step, of type `loss_type(outputs.dtype)`, [].

    A Keras loss object is taken without its own reduction. Half precision ends at the outputs: the
    loss itself is computed in float32.

    Raises:
      UserError: if `loss` has already averaged over the examples, or does not take what it gets.
    """
    function = loss.call if isinstance(loss, tf.keras.losses.Loss) else loss
    dtype = loss_type(outputs.dtype)
    numbers = tf.cast(targets, dtype) if targets.dtype.is_floating else targets
    try:
        # Keras' cross-entropies look for the logits that a softmax has left at its output, past
        # which no gradient would reach `outputs`.
        values = tf.convert_to_tensor(function(numbers, tf.identity(tf.cast(outputs, dtype))))
    except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        raise UserError(
            f"the loss takes no targets {targets.dtype.name} {targets.shape} with outputs "
            f"{outputs.dtype.name} {outputs.shape}: {str(error).strip().splitlines()[0]}"
        ) from error
    if values.shape.rank == 0:
        raise UserError(
            "the loss returns one number for the whole batch: let it return one for each example "
            "(no reduction), the engines average over examples and frames themselves"
        )
    return tf.cast(tf.reduce_mean(values), dtype)


def clip_loss(loss: Loss, targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """The mean of the losses of T steps, [T, B, ...] both: [].

    Step by step: a loss may mix the examples of a batch, but never those of different steps.
    """
    pairs = zip(tf.unstack(targets), tf.unstack(outputs), strict=True)
    return tf.reduce_mean(tf.stack([step_loss(loss, *pair) for pair in pairs]))


def loss_type(outputs: tf.DType) -> tf.DType:
    """float64 where the outputs are, else float32."""
    return tf.float64 if outputs == tf.float64 else tf.float32


def module_seeds(seed: tf.Tensor, depth: int) -> list[tf.Tensor]:
    """A seed int32 [2] for each of `depth` modules."""
    return [tf.random.experimental.stateless_fold_in(seed, i) for i in range(depth)]


def mean_with_penalty(
    module: SidewaysBlock, sums: Sequence[tf.Tensor], count: tf.Tensor | int
) -> list[tf.Tensor]:
    """Eq. 5: the sums of `count` steps divided by it; once, the gradient of weight regularizers."""
    with tf.device(module.device):
        means = [total / tf.cast(count, total.dtype) for total in sums]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(module.trainable_variables)
            penalty = module.weight_penalty()
        if penalty is None:
            return means
        extra = tape.gradient(
            penalty, list(module.trainable_variables), unconnected_gradients="zero"
        )
        return [mean + tf.cast(g, mean.dtype) for mean, g in zip(means, extra, strict=True)]


def weight_penalties(modules: Sequence[SidewaysBlock], dtype: tf.DType) -> tf.Tensor:
    """What the weights' regularizers add to the loss that is reported, []."""
    found = [module.weight_penalty() for module in modules]
    terms = [tf.cast(term, dtype) for term in found if term is not None]
    return tf.add_n(terms) if terms else tf.zeros([], dtype)


def zero_gradients(module: SidewaysBlock) -> list[tf.Tensor]:
    """Zeros for each trainable variable."""
    with tf.device(module.device):
        return [tf.zeros_like(v) for v in module.trainable_variables]

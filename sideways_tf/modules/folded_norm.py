"""Batch norm over frames that an engine has folded into the batch axis, kept apart by step.

The statistics of a computation step are those of the B frames that the module sees at that step.
Where an engine runs frame by frame, Keras' own layer does just that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from sideways_tf.modules.step import Step, current_step, plain


def can_fold(layer: tf.keras.layers.Layer) -> bool:
    """Whether `layer` is Keras' batch norm over the last axis, in its plain form."""
    if type(layer) is not tf.keras.layers.BatchNormalization:
        return False
    last = layer.input_spec.ndim - 1 if layer.built and layer.input_spec.ndim else -1
    axis = layer.axis if isinstance(layer.axis, int) else list(layer.axis)
    special = layer.renorm or layer.virtual_batch_size or getattr(layer, "synchronized", False)
    return axis in (-1, last, [-1], [last]) and not special


def normalize(norm: tf.keras.layers.Layer, inputs: tf.Tensor, step: Step) -> tf.Tensor:
    """[T * B, ..., C] -> the same shape; moves the statistics in the step's memory."""
    numbers = tf.cast(inputs, norm.moving_mean.dtype)
    apart = tf.reshape(numbers, tf.concat([[step.count, -1], tf.shape(inputs)[1:]], 0))
    apart.set_shape([step.count, None, *inputs.shape[1:]])
    axes = list(range(1, len(apart.shape) - 1))
    mean, variance = tf.nn.moments(apart, axes, keepdims=True)
    out = tf.nn.batch_normalization(apart, mean, variance, norm.beta, norm.gamma, norm.epsilon)
    if norm.fused:  # Its kernel takes the unbiased variance into the moving one.
        count = tf.cast(tf.reduce_prod(tf.shape(apart)[1:-1]), variance.dtype)
        variance = variance * count / tf.maximum(count - 1, 1)
    for variable, values in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
        ref = plain(variable).ref()
        # A norm that is called again takes in each frame's statistics in the order of its calls.
        start, calls = step.calls.setdefault(ref, (step.memory[ref], []))
        calls.append(tf.squeeze(values, axes))
        order = tf.reshape(tf.stack(calls, 1), [-1, *start.shape])
        step.memory[ref] = move(start, order, norm.momentum)
    out = tf.reshape(tf.cast(out, inputs.dtype), tf.shape(inputs))
    return tf.ensure_shape(out, inputs.shape)


def move(old: tf.Tensor, values: tf.Tensor, momentum: float) -> tf.Tensor:
    """`values` [T, C] taken into `old` [C] one after the other, in closed form.

    T steps of m <- momentum * m + (1 - momentum) * v make
    momentum^T * m + (1 - momentum) * sum_j momentum^(T - j) * v_j.
    """
    count = tf.shape(values)[0]
    powers = tf.cast(tf.range(count - 1, -1, -1), values.dtype)
    decay = tf.constant(momentum, values.dtype)
    weights = (1 - decay) * decay**powers
    return decay ** tf.cast(count, values.dtype) * old + tf.tensordot(weights, values, 1)


@contextlib.contextmanager
def folded_norms(layer: tf.keras.layers.Layer) -> Iterator[None]:
    """Within: every batch norm inside `layer` that can keeps folded frames apart, in training."""
    norms = [inner for inner in layer._flatten_layers() if can_fold(inner)]
    for norm in norms:
        object.__setattr__(norm, "call", _call_of(norm))
    try:
        yield
    finally:
        for norm in norms:
            object.__delattr__(norm, "call")


def _call_of(norm: tf.keras.layers.Layer) -> Any:
    keras = norm.call

    def call(inputs: tf.Tensor, training: Any = None, mask: Any = None) -> tf.Tensor:
        step = current_step()
        # A mask leaves examples out, which only Keras' own knows how to.
        if step is None or not training or not norm.trainable or mask is not None:
            return keras(inputs, training=training, mask=mask)
        return normalize(norm, inputs, step)

    return call

"""Batch norm and dropout that keep computation steps apart.

In every engine the statistics of a step are those of the B frames that the module sees at that
step, and each step draws a new dropout mask. Outside an engine both are their Keras selves.
"""

from __future__ import annotations

import tensorflow as tf

from sideways_tf.models.step import Step, current_step


class BatchNorm(tf.keras.layers.BatchNormalization):
    """Keras batch norm; inside an engine its statistics are those of one computation step."""

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """[T * B, ..., C] -> the same shape, with T as the open `Step` says."""
        step = current_step()
        if step is None or not training or not self.trainable:
            return super().call(inputs, training=training)
        apart = tf.reshape(inputs, tf.concat([[step.count, -1], tf.shape(inputs)[1:]], 0))
        apart.set_shape([step.count, None, *inputs.shape[1:]])
        axes = list(range(1, len(apart.shape) - 1))
        mean, variance = tf.nn.moments(apart, axes, keepdims=True)
        out = tf.nn.batch_normalization(apart, mean, variance, self.beta, self.gamma, self.epsilon)
        self._move(step, self.moving_mean, tf.squeeze(mean, axes))
        self._move(step, self.moving_variance, tf.squeeze(_moving_estimate(variance, apart), axes))
        return tf.ensure_shape(tf.reshape(out, tf.shape(inputs)), inputs.shape)

    def _move(self, step: Step, variable: tf.Variable, values: tf.Tensor) -> None:
        """Take the statistics `values` [T, C] into a moving one, as if one by one in order."""
        old = tf.convert_to_tensor(step.moving[variable.ref()])
        new = move(old, values, self.momentum)
        step.moving[variable.ref()] = tf.where(step.real, new, old)


def _moving_estimate(variance: tf.Tensor, apart: tf.Tensor) -> tf.Tensor:
    """The variance that enters the moving one: as in Keras, the unbiased one for images only."""
    if len(apart.shape) != 5:
        return variance
    count = tf.cast(tf.reduce_prod(tf.shape(apart)[1:-1]), variance.dtype)
    return variance * count / tf.maximum(count - 1, 1)


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


class Dropout(tf.keras.layers.Dropout):
    """Keras dropout; inside an engine every frame gets a new mask, drawn without state.

    A mask then depends on (seed, module, frame) alone: the same in every engine, on every device,
    and in a run that was stopped and continued.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """[T * B, ...] -> the same shape, with T as the open `Step` says."""
        step = current_step()
        if step is None or not training or not self.rate:
            return super().call(inputs, training=training)
        seed = step.next_seed()
        shape = tf.concat([[tf.shape(inputs)[0] // step.count], tf.shape(inputs)[1:]], 0)

        def keep(frame: tf.Tensor) -> tf.Tensor:
            key = tf.random.experimental.stateless_fold_in(seed, frame)
            return tf.random.stateless_uniform(shape, key, dtype=inputs.dtype) >= self.rate

        masks = tf.map_fn(keep, step.frames, fn_output_signature=tf.bool)
        masks = tf.cast(tf.reshape(masks, tf.shape(inputs)), inputs.dtype)
        return tf.ensure_shape(inputs * masks / (1 - self.rate), inputs.shape)


def make_per_step(layer: tf.keras.layers.Layer) -> None:
    """Turn every Keras batch norm (over the last axis) and dropout in `layer` into those above.

    However deep they sit: they change their class in place, to a subclass that differs inside
    engines only. What is left (batch norm of another kind, noise layers) is for `engines/apart.py`
    to judge.
    """
    for inner in [layer, *layer.submodules]:
        if type(inner) is tf.keras.layers.BatchNormalization and _over_channels(inner):
            inner.__class__ = BatchNorm
        elif type(inner) is tf.keras.layers.Dropout and inner.noise_shape is None:
            inner.__class__ = Dropout


def _over_channels(norm: tf.keras.layers.BatchNormalization) -> bool:
    """Whether the statistics keep the last axis; a built layer counts its axes from the front."""
    last = norm.input_spec.ndim - 1 if norm.built and norm.input_spec.ndim else -1
    axis = norm.axis if isinstance(norm.axis, int) else list(norm.axis)
    return axis in (-1, last, [-1], [last])

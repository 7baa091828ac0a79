"""Batch norm and dropout that keep computation steps apart, and the conversion to them.

In every engine the statistics of a step are those of the B frames that the module sees at that
step, and each step draws a new dropout mask. Outside an engine, both act as their Keras namesakes.
"""

from __future__ import annotations

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.models.step import Step, current_step


class BatchNorm(tf.keras.layers.Layer):
    """Batch norm over the last axis; statistics over batch, height and width of one step.

    Arguments and defaults are those of `tf.keras.layers.BatchNormalization`.
    """

    def __init__(self, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon
        self.center, self.scale = center, scale

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = [input_shape[-1]]
        if self.scale:
            self.gamma = self.add_weight("gamma", shape, initializer="ones")
        if self.center:
            self.beta = self.add_weight("beta", shape, initializer="zeros")
        self.moving_mean = self.add_weight(
            "moving_mean", shape, initializer="zeros", trainable=False
        )
        self.moving_variance = self.add_weight(
            "moving_variance", shape, initializer="ones", trainable=False
        )
        super().build(input_shape)

    def call(self, x: tf.Tensor, training=False) -> tf.Tensor:
        """x: float [T * B, ..., C] -> the same shape, with T as the open `Step` says (else 1)."""
        if not training or not self.trainable:
            return self._normalise(x, self.moving_mean, self.moving_variance)
        step = current_step()
        apart = tf.reshape(x, tf.concat([[step.count if step else 1, -1], tf.shape(x)[1:]], 0))
        apart.set_shape([None, None, *x.shape[1:]])
        axes = list(range(1, len(apart.shape) - 1))
        mean, variance = tf.nn.moments(apart, axes, keepdims=True)
        out = tf.reshape(self._normalise(apart, mean, variance), tf.shape(x))
        self._move(step, self.moving_mean, tf.squeeze(mean, axes))
        self._move(step, self.moving_variance, tf.squeeze(self._unbiased(variance, apart), axes))
        return tf.ensure_shape(out, x.shape)

    def _normalise(self, x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
        gamma = self.gamma if self.scale else None
        beta = self.beta if self.center else None
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, self.epsilon)

    def _unbiased(self, variance: tf.Tensor, apart: tf.Tensor) -> tf.Tensor:
        """The variance that enters the moving one: as in Keras, unbiased for images only."""
        if len(apart.shape) != 5:
            return variance
        count = tf.cast(tf.reduce_prod(tf.shape(apart)[1:-1]), variance.dtype)
        return variance * count / tf.maximum(count - 1, 1)

    def _move(self, step: Step | None, variable: tf.Variable, values: tf.Tensor) -> None:
        """Take the statistics `values` [T, C] into a moving one, as if one by one in order."""
        if step is None:
            variable.assign(move(variable, values, self.momentum))
            return
        old = step.moving.get(variable.ref(), variable)
        step.moving[variable.ref()] = tf.where(
            step.real, move(old, values, self.momentum), tf.convert_to_tensor(old)
        )

    def get_config(self) -> dict:
        names = ("momentum", "epsilon", "center", "scale")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def move(old: tf.Tensor, values: tf.Tensor, momentum: float) -> tf.Tensor:
    """`values` [T, C] taken into `old` [C] one after the other, in closed form.

    T steps of m <- momentum * m + (1 - momentum) * v make
    momentum^T * m + (1 - momentum) * sum_j momentum^(T - j) * v_j.
    """
    count = tf.shape(values)[0]
    powers = tf.cast(tf.range(count - 1, -1, -1), values.dtype)
    decay = tf.cast(momentum, values.dtype)
    weights = (1 - decay) * decay**powers
    return decay ** tf.cast(count, values.dtype) * old + tf.tensordot(weights, values, 1)


class Dropout(tf.keras.layers.Layer):
    """Dropout with a new mask for every frame, drawn without state from the step's seed.

    Arguments are those of `tf.keras.layers.Dropout`: `rate` in [0, 1) is the share dropped. Being
    stateless, a mask depends on (seed, module, frame) alone: the same in every engine, on every
    device, and in a run that was stopped and continued.
    """

    def __init__(self, rate: float, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, x: tf.Tensor, training=False) -> tf.Tensor:
        """x: float [T * B, ...] -> the same shape."""
        if not training or self.rate == 0:
            return x
        step = current_step()
        if step is None:
            return tf.nn.dropout(x, self.rate)
        seed = step.next_seed()
        shape = tf.concat([[tf.shape(x)[0] // step.count], tf.shape(x)[1:]], 0)

        def keep(frame: tf.Tensor) -> tf.Tensor:
            key = tf.random.experimental.stateless_fold_in(seed, frame)
            return tf.random.stateless_uniform(shape, key, dtype=x.dtype) >= self.rate

        masks = tf.map_fn(keep, step.frames, fn_output_signature=tf.bool)
        masks = tf.cast(tf.reshape(masks, tf.shape(x)), x.dtype)
        return tf.ensure_shape(x * masks / (1 - self.rate), x.shape)

    def get_config(self) -> dict:
        return {**super().get_config(), "rate": self.rate}


def per_step(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
    """`layer` with every Keras batch norm and dropout inside replaced by those above.

    Looks into Sequential and functional models; weights of built layers are kept. Layers of other
    kinds are returned as they are: what they hide is for the engines to judge.
    """
    kind = type(layer)
    if kind is tf.keras.layers.BatchNormalization:
        return _batch_norm(layer)
    if kind is tf.keras.layers.Dropout and layer.noise_shape is None:
        return Dropout(layer.rate, name=layer.name, dtype=layer.dtype_policy)
    if kind is tf.keras.Sequential and any(per_step(inner) is not inner for inner in layer.layers):
        return tf.keras.Sequential([per_step(inner) for inner in layer.layers], name=layer.name)
    if _is_functional(layer) and any(per_step(inner) is not inner for inner in layer.layers):
        return _convert_functional(layer)
    return layer


def _batch_norm(layer: tf.keras.layers.BatchNormalization) -> BatchNorm:
    axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
    if axis != -1 and not (layer.built and axis == layer.input_spec.ndim - 1):
        raise UserError(
            f"batch norm '{layer.name}' normalises axis {axis}: only the last axis (channels) can "
            "be kept apart in time; make it axis=-1"
        )
    new = BatchNorm(
        layer.momentum,
        layer.epsilon,
        layer.center,
        layer.scale,
        name=layer.name,
        dtype=layer.dtype_policy,
        trainable=layer.trainable,
    )
    if layer.built:
        new.build(tf.TensorShape([None, layer.moving_mean.shape[0]]))
        new.set_weights(layer.get_weights())
    return new


def _is_functional(layer: tf.keras.layers.Layer) -> bool:
    # The class of tf.keras.Model(inputs, outputs) has no public name.
    return type(layer).__name__ == "Functional" and isinstance(layer, tf.keras.Model)


def _convert_functional(model: tf.keras.Model) -> tf.keras.Model:
    def convert(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        new = per_step(layer)
        return new if new is not layer else type(layer).from_config(layer.get_config())

    new = tf.keras.models.clone_model(model, clone_function=convert)
    new.set_weights(model.get_weights())
    return new

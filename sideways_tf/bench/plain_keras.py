"""Batched BP as one would write it with Keras alone: the yardstick of the one-device engines."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


class PlainKeras:
    """A Keras model over all frames of a clip; one label for all of them.

    Args:
      layers: unbuilt.
      optimizer: any Keras optimizer.
      clip_value: gradients are clipped to +- this value.
    """

    def __init__(
        self,
        layers: Sequence[tf.keras.layers.Layer],
        optimizer: tf.keras.optimizers.Optimizer,
        clip_value: float = 1.0,
    ):
        self.model = tf.keras.Sequential(list(layers))
        self.optimizer = optimizer
        self.clip_value = clip_value
        self.loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def __call__(self, clip: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Train on clip float [K, B, H, W, 3] with labels int32 [B]; the mean loss, []."""
        frames = tf.reshape(clip, [-1, *clip.shape[2:]])
        targets = tf.tile(labels, [clip.shape[0]])
        with tf.GradientTape() as tape:
            loss = self.loss(targets, self.model(frames, training=True))
        variables = self.model.trainable_variables
        gradients = [
            tf.clip_by_value(g, -self.clip_value, self.clip_value)
            for g in tape.gradient(loss, variables)
        ]
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

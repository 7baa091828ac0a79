"""Simple-CNN (section 4.3): six modules, five convolutions and a linear classifier."""

from __future__ import annotations

import tensorflow as tf

CHANNELS = (32, 64, 64, 128, 256)
STRIDES = (2, 1, 2, 1, 2)


def convolution(
    channels: int, stride: int, number: int, batch_norm: bool = False
) -> tf.keras.layers.Layer:
    """A 3x3 convolution without bias, 'same' padding, batch norm where `batch_norm`, ReLU."""
    if not batch_norm:
        return tf.keras.layers.Conv2D(
            channels, 3, stride, "same", activation="relu", use_bias=False, name=f"conv{number}"
        )
    layers = [
        tf.keras.layers.Conv2D(channels, 3, stride, "same", use_bias=False),
        tf.keras.layers.BatchNormalization(),
        tf.keras.layers.ReLU(),
    ]
    return tf.keras.Sequential(layers, name=f"conv{number}")


def simple_cnn(num_classes: int, batch_norm: bool = False) -> list[tf.keras.layers.Layer]:
    """The six layers, unbuilt.

    They map frames float [B, H, W, 3] in [0, 1] to logits float [B, num_classes]. A bias only in
    the last, linear layer. The paper's has no batch norm.
    """
    layers = [
        convolution(channels, stride, number, batch_norm)
        for number, (channels, stride) in enumerate(zip(CHANNELS, STRIDES, strict=True), 1)
    ]
    classifier = [tf.keras.layers.GlobalAveragePooling2D(), tf.keras.layers.Dense(num_classes)]
    return [*layers, tf.keras.Sequential(classifier, name="linear")]

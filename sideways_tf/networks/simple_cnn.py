"""Simple-CNN (section 4.3): six modules, five convolutions and a linear classifier."""

from __future__ import annotations

import tensorflow as tf

CHANNELS = (32, 64, 64, 128, 256)
STRIDES = (2, 1, 2, 1, 2)


def convolution(channels: int, stride: int, number: int) -> tf.keras.layers.Layer:
    """A 3x3 convolution without bias, 'same' padding, ReLU."""
    return tf.keras.layers.Conv2D(
        channels, 3, stride, "same", activation="relu", use_bias=False, name=f"conv{number}"
    )


def simple_cnn(num_classes: int) -> list[tf.keras.layers.Layer]:
    """The six layers, unbuilt.

    They map frames float [B, H, W, 3] in [0, 1] to logits float [B, num_classes]. A bias only in
    the last, linear layer.
    """
    layers = [
        convolution(channels, stride, number)
        for number, (channels, stride) in enumerate(zip(CHANNELS, STRIDES, strict=True), 1)
    ]
    classifier = [tf.keras.layers.GlobalAveragePooling2D(), tf.keras.layers.Dense(num_classes)]
    return [*layers, tf.keras.Sequential(classifier, name="linear")]

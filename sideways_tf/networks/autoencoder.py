"""The auto-encoder (section 4.3): Simple-CNN's five convolutions, and one module that decodes.

The decoder's five transposed convolutions are one module: BP's exact gradient inside it, one
computation step. For frames of 240x240 pixels:

    module   layers                                             output
    1        conv 3x3x32 stride 2, ReLU                         120x120x32
    2        conv 3x3x64, ReLU                                  120x120x64
    3        conv 3x3x64 stride 2, ReLU                         60x60x64
    4        conv 3x3x128, ReLU                                 60x60x128
    5        conv 3x3x256 stride 2, ReLU                        30x30x256
    6        transposed 3x3: 128 stride 2, 64, 64 stride 2,     60x60x128 .. 120x120x32
             32, each with ReLU; 3 stride 2, linear             240x240x3
"""

from __future__ import annotations

import tensorflow as tf

from sideways_tf.limits import check_size as check_size
from sideways_tf.networks.simple_cnn import CHANNELS, STRIDES, convolution

COLOURS = 3


def autoencoder() -> list[tf.keras.layers.Layer]:
    """The six layers, unbuilt.

    They map frames float [B, H, W, 3] in [0, 1] to pixels float [B, H, W, 3], not bounded; H and W
    are multiples of 8. A bias only in the last layer.
    """
    encoder = [
        convolution(channels, stride, number)
        for number, (channels, stride) in enumerate(zip(CHANNELS, STRIDES, strict=True), 1)
    ]
    return [*encoder, decoder()]


def decoder() -> tf.keras.layers.Layer:
    """Five transposed 3x3 convolutions that mirror the encoder's."""
    channels, strides = [*CHANNELS[-2::-1], COLOURS], STRIDES[::-1]
    layers = [
        tf.keras.layers.Conv2DTranspose(
            filters, 3, stride, "same", activation="relu", use_bias=False, name=f"deconv{number}"
        )
        for number, (filters, stride) in enumerate(zip(channels, strides, strict=True), 1)
    ]
    layers[-1] = tf.keras.layers.Conv2DTranspose(
        COLOURS, 3, strides[-1], "same", name=f"deconv{len(channels)}"
    )
    return tf.keras.Sequential(layers, name="decoder")


def pixel_error(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """The squared difference of each number, [B, H, W, 3]; its mean is the loss."""
    return tf.math.squared_difference(outputs, targets)

"""VGG-8 (section 4.3): the spatial network of the two-stream model, with batch norm.

For frames of 112x112 pixels, "same" padding, pooling 2x2 that halves and rounds down:

    module   layers                                          output
    1        conv 7x7x96 stride 2, norm, ReLU, pool          28x28x96
    2        conv 5x5x256 stride 2, norm, ReLU, pool         7x7x256
    3, 4     conv 3x3x512, norm, ReLU                        7x7x512
    5        conv 3x3x512, norm, ReLU, pool                  3x3x512
    6        linear 4096, ReLU, dropout                      4096
    7        linear 2048, ReLU, dropout                      2048
    8        linear to the classes, with the only bias
"""

from __future__ import annotations

import tensorflow as tf

# (kernel, channels, stride, pool) of modules 1 .. 5.
CONVOLUTIONS = (
    (7, 96, 2, True),
    (5, 256, 2, True),
    (3, 512, 1, False),
    (3, 512, 1, False),
    (3, 512, 1, True),
)
HIDDEN = (4096, 2048)


def vgg_block(
    kernel: int, channels: int, stride: int, pool: bool, number: int
) -> tf.keras.layers.Layer:
    """A convolution without bias, batch norm, ReLU, and 2x2 pooling where `pool`."""
    layers = [
        tf.keras.layers.Conv2D(channels, kernel, stride, "same", use_bias=False),
        tf.keras.layers.BatchNormalization(),
        tf.keras.layers.ReLU(),
    ]
    if pool:
        layers.append(tf.keras.layers.MaxPooling2D())
    return tf.keras.Sequential(layers, name=f"conv{number}")


def hidden_linear(units: int, dropout: float, number: int) -> tf.keras.layers.Layer:
    """A linear layer without bias over all numbers of an example, ReLU, dropout."""
    layers = [
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(units, use_bias=False),
        tf.keras.layers.ReLU(),
    ]
    if dropout:
        layers.append(tf.keras.layers.Dropout(dropout))
    return tf.keras.Sequential(layers, name=f"linear{number}")


def vgg8(num_classes: int, dropout: float = 0.0) -> list[tf.keras.layers.Layer]:
    """The eight layers, unbuilt.

    They map frames float [B, H, W, 3] in [0, 1], H and W at least 32, to logits float
    [B, num_classes].

    Args:
      num_classes: units of the last layer.
      dropout: share of units dropped in the two hidden linear modules, in [0, 1).
    """
    blocks = [vgg_block(*block, number) for number, block in enumerate(CONVOLUTIONS, 1)]
    first = len(blocks) + 1
    linear = [hidden_linear(units, dropout, number) for number, units in enumerate(HIDDEN, first)]
    return [*blocks, *linear, tf.keras.layers.Dense(num_classes, name="classifier")]

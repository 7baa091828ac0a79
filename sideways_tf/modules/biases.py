"""Biases in bfloat16, whose gradient TensorFlow's CPU kernel adds up in bfloat16 itself.

A sum of ones stands still there at 256, the next one is rounded away: the gradient of a bias that
4096 ones reach came out as 256. `reduce_sum` adds up in float32.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import tensorflow as tf

# As Keras' layers name it.
NN: Any = inspect.getmodule(tf.keras.layers.Dense).tf.nn  # type: ignore[union-attr]
_bias_add = NN.bias_add


def bias_add(
    value: Any, bias: Any, data_format: str | None = None, name: str | None = None
) -> tf.Tensor:
    """What `tf.nn.bias_add` gives, and in bfloat16 a gradient of the bias to its rounding."""
    value = tf.convert_to_tensor(value)
    if value.dtype != tf.bfloat16:
        return _bias_add(value, bias, data_format, name)
    channels = 1 if (data_format or "N").startswith("NC") else value.shape.rank - 1
    others = [axis for axis in range(value.shape.rank) if axis != channels]

    @tf.custom_gradient
    def add(value: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        out = _bias_add(value, bias, data_format, name)
        return out, lambda above: (above, tf.reduce_sum(above, others))

    return add(value, tf.convert_to_tensor(bias, value.dtype))


@contextlib.contextmanager
def exact_biases() -> Iterator[None]:
    """Within: Keras layers add their biases by `bias_add`."""
    with mock.patch.object(NN, "bias_add", bias_add):
        yield

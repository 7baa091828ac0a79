"""Convolutions of which a device computes one pass at a time, as an accelerator does.

TensorFlow gives all logical CPU devices one pool of threads: a device with too much work borrows
the threads of the others, which hides what modules of unlike size cost on real devices. Here each
pass, forward or backward, holds a lock of its device, so that with one thread a kernel a logical
device is one core, and no more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sideways_tf.modules.slicing import RULES

_LOCKS: dict[int, threading.Lock] = {}


class HeldConv2D(tf.keras.layers.Conv2D):
    """A convolution with 'same' padding and ReLU, without bias, that holds its device alone."""

    def __init__(self, filters: int, kernel_size: Any, strides: Any = 1, **kwargs: Any):
        fixed = {"padding": "same", "activation": "relu", "use_bias": False}
        super().__init__(filters, kernel_size, strides, **{**kwargs, **fixed})

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """float [B, H, W, C] -> float [B, h, w, filters]."""
        strides = list(self.strides)

        @tf.custom_gradient
        def run(x: tf.Tensor, kernel: tf.Tensor) -> tuple:
            (y,) = alone(lambda x, w: [tf.nn.relu(tf.nn.conv2d(x, w, strides, "SAME"))], x, kernel)

            def back(above: tf.Tensor) -> list[tf.Tensor]:
                def both(above: tf.Tensor, x: tf.Tensor, w: tf.Tensor, y: tf.Tensor) -> list:
                    above = tf.where(y > 0, above, tf.zeros_like(above))
                    below = tf.nn.conv2d_transpose(above, w, x.shape, strides, "SAME")
                    with tf.control_dependencies([below]):  # Not both kernels at once.
                        found = tf.raw_ops.Conv2DBackpropFilter(
                            input=x, filter_sizes=w.shape, out_backprop=above,
                            strides=[1, *strides, 1], padding="SAME",
                        )  # fmt: skip
                    return [below, found]

                return alone(both, above, x, kernel, y)

            return y, back

        return run(inputs, tf.convert_to_tensor(self.kernel))


RULES[HeldConv2D] = RULES[tf.keras.layers.Conv2D]


def alone(compute: Callable[..., Sequence[tf.Tensor]], *inputs: tf.Tensor) -> list[tf.Tensor]:
    """`compute(*inputs)`, while nothing else that is `alone` runs on this device."""
    if tf.executing_eagerly():
        return list(compute(*inputs))
    lock = _lock_of(tf.identity(inputs[0]).device)
    found = compute(*_after(lock.acquire, inputs))
    return _after(lock.release, found)


def _after(function: Callable[[], object], given: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """`given`, once all of them are there and `function` has returned."""

    def call(*_: np.ndarray) -> list[np.ndarray]:
        function()
        return [np.zeros(len(x.shape), np.int32) for x in given]

    # Not stateful: TensorFlow begins no iteration of a loop before all stateful kernels of the one
    # before are over. A mere control dependency on a kernel without state is optimized away; a
    # slice that begins where the kernel says, at 0, is not, and copies nothing when it is all.
    firsts = [tf.reshape(x, [-1])[:1] for x in given]
    starts = tf.numpy_function(call, firsts, [tf.int32] * len(given), stateful=False)
    return [tf.slice(x, start, tf.shape(x)) for x, start in zip(given, starts, strict=True)]


def _lock_of(device: str) -> threading.Lock:
    """That of the device with this name, the same for all graphs."""
    index = tf.DeviceSpec.from_string(device).device_index if device else 0
    return _LOCKS.setdefault(index or 0, threading.Lock())

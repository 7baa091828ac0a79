"""Convolutions of which a device computes one pass at a time, as an accelerator does.

TensorFlow gives all logical CPU devices one pool of threads: a device with too much work borrows
the threads of the others, which hides what modules of unlike size cost on real devices. Here each
pass, forward or backward, holds a lock of its device, so that with one thread a kernel a logical
device is one core, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from sideways_tf.modules.slicing import RULES

_LOCKS: dict[str, tf.Tensor] = {}


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
    given = [tf.identity(x) for x in inputs]
    with tf.control_dependencies(given):
        lock = tf.raw_ops.MutexLock(mutex=_lock_of(given[0].device))
    with tf.control_dependencies([lock]):
        found = compute(*[tf.identity(x) for x in given])
    with tf.control_dependencies(found):
        released = tf.raw_ops.ConsumeMutexLock(mutex_lock=lock)
    with tf.control_dependencies([released]):
        return [tf.identity(x) for x in found]


def _lock_of(device: str) -> tf.Tensor:
    """That of the device with this name, the same for all graphs.

    One handle for all, so that TensorFlow lets the passes of a step ask for it in their order: with
    a handle for each, a graph of many passes came to a standstill.
    """
    index = str(tf.DeviceSpec.from_string(device).device_index if device else 0)
    if index not in _LOCKS:
        with tf.init_scope(), tf.device("CPU:0"):
            _LOCKS[index] = tf.raw_ops.MutexV2(shared_name=f"one_at_a_time_{index}")
    return _LOCKS[index]

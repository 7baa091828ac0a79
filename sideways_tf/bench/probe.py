"""Layers that note when they run, for a timeline of real devices."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import tensorflow as tf

from sideways_tf.bench.timeline import Event, Timeline
from sideways_tf.modules.step import current_step


class ProbedLayer(tf.keras.layers.Layer):
    """`layer`, with the start and end of each training pass noted.

    The stamps come from host kernels that wait for a number of each tensor, so that on a GPU they
    tell when its kernels have ended. They cost time: speeds are measured without them.

    Args:
      layer: of module i = `module`, unbuilt.
      device: number of its device.
      timeline: where the passes are noted.
    """

    def __init__(
        self,
        layer: tf.keras.layers.Layer,
        module: int,
        device: int,
        timeline: Timeline,
        **kwargs: Any,
    ):
        super().__init__(**{"name": f"probed_{layer.name}", **kwargs})
        self.layer = layer
        self.module, self.device, self.timeline = module, device, timeline

    def call(self, h: tf.Tensor, training: bool = False) -> tf.Tensor:
        """h_{i-1} [B, ...] -> h_i [B, ...]."""
        step = current_step() if training else None
        return self.layer(h) if step is None else self._probed(h, step.frames[0])

    def _probed(self, h: tf.Tensor, frame: tf.Tensor) -> tf.Tensor:
        @tf.custom_gradient
        def probed(h: tf.Tensor) -> tuple:
            started = now([h])
            h = after(started, h)
            with tf.GradientTape() as tape:
                tape.watch(h)
                out = self.layer(h)
            result = after(self._note(started, [out], frame, backward=False), out)

            def gradient(above: tf.Tensor, variables: list | None = None) -> Any:
                variables = variables or []
                started = now([above, result])
                # Module 1's input is a frame, which needs no gradient.
                sources = [*([] if self.module == 1 else [h]), *variables]
                found = tape.gradient(
                    out, sources, after(started, above), unconnected_gradients="zero"
                )
                noted = self._note(started, found, frame, backward=True)
                found = [after(noted, g) for g in found]
                below = [tf.zeros_like(h)] if self.module == 1 else []
                first, *weights = [*below, *found]
                return (first, weights) if variables else first

            return result, gradient

        return probed(h)

    def _note(
        self, started: tf.Tensor, ended: list[tf.Tensor], frame: tf.Tensor, backward: bool
    ) -> tf.Tensor:
        def note(started: np.ndarray, frame: np.ndarray, *_: np.ndarray) -> np.float64:
            end = time.perf_counter()
            self.timeline.add(
                Event(self.device, self.module, backward, int(frame), float(started), end)
            )
            return np.float64(end)

        samples = [tf.reshape(x, [-1])[:1] for x in ended]
        return tf.numpy_function(note, [started, frame, *samples], tf.float64, stateful=False)


def now(inputs: list[tf.Tensor]) -> tf.Tensor:
    """float64 [], seconds on the host's clock once all `inputs` are there."""
    samples = [tf.reshape(x, [-1])[:1] for x in inputs]
    return tf.numpy_function(
        lambda *_: np.float64(time.perf_counter()), samples, tf.float64, stateful=False
    )


def after(stamp: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """`value`, not before `stamp`."""
    # Added, because the graph optimizer drops a control dependency on a stateless kernel; and a
    # stamp is positive, but the optimizer does not know that.
    return value + tf.cast(tf.minimum(tf.reshape(stamp, []), 0), value.dtype)

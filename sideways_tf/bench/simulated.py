"""Simulated accelerators: given times, while the real engine and executor do the scheduling.

A simulated accelerator is a lock and a clock. A module's pass is a kernel that waits for the lock
and then sleeps until the accelerator's clock says that the pass is over. Sleeping takes no core, so
that a small machine shows how an engine's graph is scheduled over many devices: which passes run at
once, which wait, and what TensorFlow's executor itself costs. It shows no arithmetic and no
transfer between devices.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sideways_tf.bench.timeline import Event, Timeline
from sideways_tf.modules.block import SidewaysBlock
from sideways_tf.modules.slicing import RULES, Rule
from sideways_tf.modules.step import current_step
from sideways_tf.plan.times import ModuleTime

# Kernels of one module that may sleep or wait at once: a forward and a backward pass of each of
# the ten steps that tf.while_loop keeps in flight.
THREADS_PER_MODULE = 20


class Accelerator:
    """One pass at a time, in the order in which they arrive.

    The clock stands at the end of the last pass. A pass starts when it arrives or when the clock
    says that the one before is over, whichever is later: that the operating system wakes a sleeper
    late is not charged to passes that were queued, as it would not be on a real device.
    """

    def __init__(self, number: int, timeline: Timeline):
        self.number = number
        self.timeline = timeline
        self._lock = threading.Lock()
        self._free_at = 0.0

    def work(self, seconds: float, module: int, backward: bool, frame: int) -> None:
        """Hold the device for `seconds`, and note it in the timeline."""
        arrived = time.perf_counter()
        with self._lock:
            start = max(arrived, self._free_at)
            self._free_at = start + seconds
            time.sleep(max(0.0, self._free_at - time.perf_counter()))
        self.timeline.add(Event(self.number, module, backward, frame, start, start + seconds))


class SimulatedLayer(tf.keras.layers.Layer):
    """y = weight * x, with one scalar weight; each pass holds `accelerator` for its given time.

    Args:
      seconds: of one forward and of one backward pass, per computation step.
      accelerator: the device that is held.
      module: i, for the timeline.
    """

    def __init__(self, seconds: ModuleTime, accelerator: Accelerator, module: int, **kwargs: Any):
        super().__init__(**{"name": f"simulated{module}", **kwargs})
        self.seconds, self.accelerator, self.module = seconds, accelerator, module

    def build(self, input_shape: tf.TensorShape) -> None:
        self.weight = self.add_weight("weight", [], initializer="ones")
        super().build(input_shape)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float [T * B, ...] -> the same shape."""
        step = current_step() if training else None
        out = self.weight * x
        return out if step is None else self._held(out, step.frames[0], step.count)

    def _held(self, out: tf.Tensor, frame: tf.Tensor, count: int) -> tf.Tensor:
        """`out`, given out after the forward pass; its gradient, after the backward pass."""

        @tf.custom_gradient
        def held(out: tf.Tensor) -> tuple:
            done = self._pass([out, frame], count, backward=False)

            def gradient(above: tf.Tensor) -> tf.Tensor:
                # As in a real module, the backward pass needs what the forward pass has computed.
                return self._pass([above, frame, done], count, backward=True)

            return done, gradient

        return held(out)

    def _pass(self, inputs: list[tf.Tensor], count: int, backward: bool) -> tf.Tensor:
        """The first of `inputs`, once the accelerator is through; the second is the frame."""
        seconds = count * (self.seconds.backward if backward else self.seconds.forward)

        def work(value: np.ndarray, frame: np.ndarray, *_: np.ndarray) -> np.ndarray:
            self.accelerator.work(seconds, self.module, backward, int(frame))
            return value

        # stateful=False: TensorFlow runs stateful kernels one after the other.
        out = tf.numpy_function(work, inputs, inputs[0].dtype, stateful=False)
        return tf.ensure_shape(out, inputs[0].shape)


class SimulatedSlices(tf.keras.layers.Layer):
    """A simulated module that several accelerators share: y = weight * x, weight by channels.

    Args:
      slices: channels of each slice, seconds of its passes, its accelerator.
      module: i, for the timeline.
    """

    def __init__(
        self, slices: Sequence[tuple[int, ModuleTime, Accelerator]], module: int, **kwargs: Any
    ):
        super().__init__(**{"name": f"simulated{module}", **kwargs})
        self.slices, self.module = tuple(slices), module
        self.channels = sum(count for count, _, _ in slices)

    def build(self, input_shape: tf.TensorShape) -> None:
        self.weight = self.add_weight("weight", [self.channels], initializer="ones")
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """float [T * B, channels] -> the same shape; holds nothing: its slices do."""
        return self.weight * x


class SimulatedSlice(SimulatedLayer):
    """The channels `start` .. `stop` of a `SimulatedSlices`, on one accelerator."""

    def __init__(self, whole: SimulatedSlices, start: int, stop: int):
        starts = itertools.accumulate((count for count, _, _ in whole.slices), initial=0)
        _, seconds, accelerator = whole.slices[list(starts).index(start)]
        super().__init__(seconds, accelerator, whole.module)
        self.start, self.stop = start, stop

    def build(self, input_shape: tf.TensorShape) -> None:
        self.weight = self.add_weight("weight", [self.stop - self.start], initializer="zeros")
        self.built = True

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float [B, all channels] -> [B, its own]."""
        step = current_step() if training else None
        out = self.weight * x[..., self.start : self.stop]
        return out if step is None else self._held(out, step.frames[0], step.count)

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        return tf.TensorShape([*input_shape[:-1], self.stop - self.start])


RULES[SimulatedSlices] = Rule(lambda layer: layer.channels, SimulatedSlice, {"weight": -1})

# (accelerator from 0, channels, seconds of its passes) of each slice of a module.
Slices = Sequence[tuple[int, int, ModuleTime]]


def simulated_modules(
    times: Sequence[ModuleTime],
    numbers: Sequence[int],
    devices: Sequence[str],
    timeline: Timeline,
) -> list[SidewaysBlock]:
    """Modules of given times on simulated accelerators.

    Args:
      times: of each module.
      numbers: the accelerator of each module, from 0.
      devices: a TensorFlow device for each accelerator: its executor schedules them as it would
        real ones.
      timeline: where the passes are noted.
    """
    slices = [[(n, 1, seconds)] for n, seconds in zip(numbers, times, strict=True)]
    return simulated_slices(slices, devices, timeline)


def simulated_slices(
    modules: Sequence[Slices], devices: Sequence[str], timeline: Timeline
) -> list[SidewaysBlock]:
    """As `simulated_modules`; those of several slices are shared out."""
    count = 1 + max(n for slices in modules for n, _, _ in slices)
    there = [Accelerator(n, timeline) for n in range(count)]
    made = []
    for i, slices in enumerate(modules, 1):
        if len(slices) == 1:
            ((n, _, seconds),) = slices
            made.append(SidewaysBlock(SimulatedLayer(seconds, there[n], i), devices[n]))
            continue
        layer = SimulatedSlices([(units, seconds, there[n]) for n, units, seconds in slices], i)
        shared = [(devices[n], units) for n, units, _ in slices]
        made.append(SidewaysBlock(layer, max(shared, key=lambda each: each[1])[0], shared))
    return made


def allow_sleepers(modules: int) -> None:
    """Enough threads for all kernels that may sleep at once; before TensorFlow starts."""
    tf.config.threading.set_inter_op_parallelism_threads(THREADS_PER_MODULE * modules)

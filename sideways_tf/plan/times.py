"""Seconds of each module's forward and backward pass, measured on one device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from sideways_tf.modules.block import SidewaysBlock
from sideways_tf.modules.wiring import Wiring
from sideways_tf.plan.costs import gradients, scratch_modules

REPEATS = 5


class ModuleTime(NamedTuple):
    """Seconds of one computation step: a batch of B frames."""

    forward: float
    backward: float

    @property
    def both(self) -> float:
        """What the module costs its device at every step."""
        return self.forward + self.backward


def measure(
    layers: Sequence[tf.keras.layers.Layer],
    frame: tf.TensorSpec,
    device: str = "",
    repeats: int = REPEATS,
    wiring: Wiring | None = None,
) -> list[ModuleTime]:
    """The times of copies of unbuilt `layers`, alone on `device`, on random frames.

    The first run of each, which traces and warms up, is left out; of `repeats` runs the fastest
    counts, because whatever else the machine does only adds.

    Args:
      frame: shape [B, ...] and dtype of a batch of frames.
    """
    modules, specs = scratch_modules(layers, frame, device, wiring)
    pairs = enumerate(zip(modules, specs, strict=True))
    return [_module_time(module, spec[0], i == 0, repeats) for i, (module, spec) in pairs]


def _module_time(
    module: SidewaysBlock, h_in: tf.TensorSpec, first: bool, repeats: int
) -> ModuleTime:
    with tf.device(module.device):
        h = tf.cast(tf.random.stateless_uniform(h_in.shape, [1, 2]), h_in.dtype)
        forward = _seconds(lambda h: [module(h, training=True)], h, repeats)
        both = _seconds(lambda h: gradients(module, h, first), h, repeats)
    return ModuleTime(forward, max(both - forward, 0.0))


def _seconds(function: Callable, h: tf.Tensor, repeats: int) -> float:
    # One number leaves the device: it waits for the kernels, which a GPU runs in the background.
    run = tf.function(lambda h: [tf.reshape(out, [-1])[:1] for out in function(h)], autograph=False)
    times = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        for out in run(h):
            out.numpy()
        times.append(time.perf_counter() - start)
    return min(times[1:])

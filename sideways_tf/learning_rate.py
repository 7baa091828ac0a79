"""The learning rate of section 4.3: a linear warm-up, then drops; and rates by delay."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# Name -> by what the learning rate of a module is divided whose pseudo-gradients are so many steps
# late; none is the paper's.
DELAY_RATES: dict[str, Callable[[int], float]] = {
    "none": lambda delay: 1.0,
    "root": lambda delay: math.sqrt(1.0 + delay),
    "inverse": lambda delay: 1.0 + delay,
}


class WarmUpThenDrops(tf.keras.optimizers.schedules.LearningRateSchedule):
    """`initial` * eta_t, where eta_t rises linearly from 0 to 1, then is divided by 10 at drops.

    Args:
      initial: the value after the warm-up; or, for weight decay that follows eta_t, its
        coefficient.
      iterations_per_epoch: updates in an epoch.
      warmup_epochs: eta is n / (warmup_epochs * iterations_per_epoch) at iteration n, counted
        from 0, until it reaches 1.
      drop_epochs: eta is divided by 10 from the first iteration of each of these epochs, counted
        from 0.
    """

    def __init__(
        self,
        initial: float,
        iterations_per_epoch: int,
        warmup_epochs: float = 5.0,
        drop_epochs: Sequence[int] = (100, 200),
    ):
        self.initial = initial
        self.iterations_per_epoch = iterations_per_epoch
        self.warmup_epochs = warmup_epochs
        self.drop_epochs = tuple(drop_epochs)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The value at iteration `step` (from 0), float64 []."""
        step = tf.cast(step, tf.float64)
        warmup = self.warmup_epochs * self.iterations_per_epoch
        eta = (
            tf.minimum(tf.ones([], tf.float64), step / warmup)
            if warmup
            else tf.ones([], tf.float64)
        )
        for epoch in self.drop_epochs:
            dropped = step >= float(epoch * self.iterations_per_epoch)
            eta = tf.where(dropped, eta / 10.0, eta)
        return self.initial * eta

    def get_config(self) -> dict:
        names = ("initial", "iterations_per_epoch", "warmup_epochs", "drop_epochs")
        return {name: getattr(self, name) for name in names}


class Divided(tf.keras.optimizers.schedules.LearningRateSchedule):
    """`rate`, a number, a variable or a schedule, divided by `divisor`."""

    def __init__(self, rate: Any, divisor: float):
        self.rate, self.divisor = rate, divisor

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The value at iteration `step`, float64 []."""
        rate = self.rate(step) if callable(self.rate) else self.rate
        return tf.cast(rate, tf.float64) / self.divisor

    def get_config(self) -> dict:
        return {"rate": self.rate, "divisor": self.divisor}

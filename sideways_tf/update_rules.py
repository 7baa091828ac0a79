"""The update rules, with decoupled weight decay (ref. 33). The only file that knows TFA."""

from __future__ import annotations

import warnings
from typing import TypeAlias

import tensorflow as tf

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TFA announces the end of its life on import.
    import tensorflow_addons as tfa

Schedule: TypeAlias = tf.keras.optimizers.schedules.LearningRateSchedule


def make_optimizer(
    name: str,
    learning_rate: Schedule,
    weight_decay: Schedule,
    momentum: float = 0.9,
    clip_value: float = 0.0,
) -> tf.keras.optimizers.legacy.Optimizer:
    """theta -= alpha_t * rule(gradient) + lambda_t * theta.

    Args:
      name: "adam", "sgd" or "momentum"; their other hyper-parameters are Keras' defaults.
      learning_rate: alpha_t, of the optimizer's own iteration count.
      weight_decay: lambda_t. TFA does not multiply it by the learning rate, so that it has to
        follow the same eta_t by itself. A schedule object, too: a number would freeze.
      momentum: of "momentum".
      clip_value: gradients are clipped to [-clip_value, clip_value] first; 0: not.
    """
    clip = {"clipvalue": clip_value} if clip_value else {}
    if name == "adam":
        return tfa.optimizers.AdamW(weight_decay, learning_rate, **clip)
    momentum = momentum if name == "momentum" else 0.0
    return tfa.optimizers.SGDW(weight_decay, learning_rate, momentum, **clip)

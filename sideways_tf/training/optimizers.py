"""The update rules, with decoupled weight decay (ref. 33). The only file that knows TFA."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TypeAlias

import tensorflow as tf

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TFA announces the end of its life on import.
    import tensorflow_addons as tfa

Schedule: TypeAlias = tf.keras.optimizers.schedules.LearningRateSchedule


def make_optimizer(
    name: str, learning_rate: Schedule, weight_decay: Schedule, momentum: float = 0.9
) -> tf.keras.optimizers.legacy.Optimizer:
    """theta -= alpha_t * rule(gradient) + lambda_t * theta.

    Args:
      name: "adam", "sgd" or "momentum"; their other hyper-parameters are Keras' defaults.
      learning_rate: alpha_t, of the optimizer's own iteration count.
      weight_decay: lambda_t. TFA does not multiply it by the learning rate, so that it has to
        follow the same eta_t by itself. A schedule object, too: a number would freeze.
      momentum: of "momentum".
    """
    if name == "adam":
        return tfa.optimizers.AdamW(weight_decay, learning_rate)
    momentum = momentum if name == "momentum" else 0.0
    return tfa.optimizers.SGDW(weight_decay, learning_rate, momentum)


def make_moments(
    optimizer: tf.keras.optimizers.legacy.Optimizer, variables: Sequence[tf.Variable]
) -> None:
    """Make the optimizer's own variables now, not while its first update is traced.

    A `tf.function` that makes variables is traced twice, and nothing could be restored before.
    """
    optimizer._create_all_weights(list(variables))

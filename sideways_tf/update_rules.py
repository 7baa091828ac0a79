"""The update rules, with decoupled weight decay (ref. 33). The only file that knows TFA.

tensorflow-addons, which ends at TensorFlow 2.15, has them; elsewhere the same rules stand here, on
the same optimizers of Keras, whose kernels are fused. The tests hold both to one formula.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, TypeAlias

import tensorflow as tf

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TFA announces the end of its life on import.
        import tensorflow_addons as tfa
except ImportError:  # also what an old TFA beside a new TensorFlow raises
    tfa = None

Schedule: TypeAlias = tf.keras.optimizers.schedules.LearningRateSchedule
Optimizer: TypeAlias = tf.keras.optimizers.legacy.Optimizer


class _Decay:
    """theta -= lambda_t * theta, before the rule of the optimizer that it stands in front of."""

    def __init__(self, weight_decay: Schedule, *rule: Any, **options: Any) -> None:
        super().__init__(*rule, **options)
        self._decay = weight_decay

    def apply_gradients(
        self, grads_and_vars: Iterable[tuple[tf.Tensor, tf.Variable]], **options: Any
    ) -> tf.Operation:
        pairs = list(grads_and_vars)
        decay = self._decay(self.iterations)  # type: ignore[attr-defined]
        for _, variable in pairs:
            variable.assign_sub(tf.cast(decay, variable.dtype) * variable)
        return super().apply_gradients(pairs, **options)  # type: ignore[misc]


class AdamW(_Decay, tf.keras.optimizers.legacy.Adam):
    """AdamW(weight_decay, learning_rate), as TFA's."""


class SGDW(_Decay, tf.keras.optimizers.legacy.SGD):
    """SGDW(weight_decay, learning_rate, momentum), as TFA's."""


RULES = (AdamW, SGDW) if tfa is None else (tfa.optimizers.AdamW, tfa.optimizers.SGDW)


def make_optimizer(
    name: str,
    learning_rate: Schedule,
    weight_decay: Schedule,
    momentum: float = 0.9,
    clip_value: float = 0.0,
    beta_1: float = 0.9,
) -> Optimizer:
    """theta -= alpha_t * rule(gradient) + lambda_t * theta.

    Args:
      name: "adam", "sgd" or "momentum"; their other hyper-parameters are Keras' defaults.
      learning_rate: alpha_t, of the optimizer's own iteration count.
      weight_decay: lambda_t. It is not multiplied by the learning rate, so that it has to follow
        the same eta_t by itself. A schedule object, too: a number would freeze.
      momentum: of "momentum".
      beta_1: of "adam", how much of its first moment stays from one update to the next.
      clip_value: gradients are clipped to [-clip_value, clip_value] first; 0: not.
    """
    adam, sgd = RULES
    clip = {"clipvalue": clip_value} if clip_value else {}
    if name == "adam":
        return adam(weight_decay, learning_rate, beta_1=beta_1, **clip)
    return sgd(weight_decay, learning_rate, momentum if name == "momentum" else 0.0, **clip)

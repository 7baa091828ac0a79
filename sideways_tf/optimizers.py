"""A copy of the user's optimizer for each module, on its device; they share one learning rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.modules import SidewaysBlock

# Keras has two kinds, of which the older is none of the newer.
Optimizer: TypeAlias = Any
OptimizerLike: TypeAlias = str | Optimizer | Callable[[], Optimizer]


class SharedRate(tf.keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of `template`, at the updates of the model and not of one optimizer.

    On a stream BP makes fewer updates than Sideways, a lower module fewer than a higher one: the
    rate is the same for all of them at the same frame.
    """

    def __init__(self, template: Optimizer, updates: Callable[[], tf.Tensor]):
        self.template, self.updates = template, updates

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        del step
        rate = _rate_of(self.template)
        return rate(self.updates()) if callable(rate) else tf.convert_to_tensor(rate)

    def get_config(self) -> dict:
        return {"template": self.template, "updates": self.updates}


class ModuleOptimizers(tf.Module):
    """D optimizers, so that no module's update waits for another's.

    Args:
      optimizer: a name, an optimizer, or a function that makes one.
      updates: int64 [], updates so far; see `SharedRate`.

    Attributes:
      template: the one that callbacks see. It updates nothing, but counts.
      each: those of the modules, once they are made.
    """

    def __init__(self, optimizer: OptimizerLike, updates: Callable[[], tf.Tensor]):
        super().__init__()
        self._make: Callable[[], Optimizer] | None = None
        if callable(optimizer) and not hasattr(optimizer, "apply_gradients"):
            self._make = optimizer
        self.template = self._make() if self._make else _by_name(optimizer)
        if hasattr(self.template, "inner_optimizer"):
            raise UserError(
                f"optimizer={type(self.template).__name__}: a loss scale is not supported; give "
                "the optimizer inside it, and float32 or bfloat16 activations"
            )
        self._updates = updates
        self.each: list[Optimizer] = []

    def make(self, modules: Sequence[SidewaysBlock]) -> None:
        """Make the copies and all their variables now, not while their first update is traced.

        A `tf.function` that makes variables is traced twice, and nothing could be restored before.
        """
        if self.each:
            return
        with tf.init_scope():
            rate = SharedRate(self.template, self._updates)
            for module in modules:
                optimizer = self._make() if self._make else copy_of(self.template, rate)
                with tf.device(module.device):
                    make_moments(optimizer, module.trainable_variables)
                self.each.append(optimizer)

    def apply(
        self, i: int, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
    ) -> None:
        """One update of module i, from 0."""
        if gradients:
            self.each[i].apply_gradients(zip(gradients, variables, strict=True))

    def count(self, updates: tf.Tensor) -> None:
        """Let the template show how many updates there were."""
        self.template.iterations.assign(tf.cast(updates, tf.int64))

    def learning_rate(self) -> tf.Tensor:
        """Of the coming update, []."""
        rate = _rate_of(self.each[0] if self._make and self.each else self.template)
        return rate(self._updates()) if callable(rate) else tf.convert_to_tensor(rate)


def _by_name(optimizer: str | Optimizer) -> Optimizer:
    try:
        return tf.keras.optimizers.get(optimizer)
    except (ValueError, TypeError) as error:
        raise UserError(f"optimizer={optimizer}: Keras knows no such optimizer") from error


def copy_of(template: Optimizer, rate: SharedRate) -> Optimizer:
    """An optimizer like `template`, whose learning rate is `rate`.

    Raises:
      UserError: if it cannot be made again from its configuration.
    """
    try:
        return type(template).from_config({**template.get_config(), "learning_rate": rate})
    except (NotImplementedError, TypeError, ValueError) as error:
        raise UserError(
            f"the optimizer {type(template).__name__} cannot be copied for each module ({error}): "
            "give compile a function that makes one"
        ) from error


def make_moments(optimizer: Optimizer, variables: Sequence[tf.Variable]) -> None:
    """Make the optimizer's own variables."""
    if hasattr(optimizer, "build"):
        optimizer.build(list(variables))
    else:
        optimizer._create_all_weights(list(variables))


def _rate_of(optimizer: Optimizer) -> Any:
    """Its learning rate: a variable or a schedule."""
    if hasattr(optimizer, "_get_hyper"):
        return optimizer._get_hyper("learning_rate")
    return optimizer._learning_rate

"""A copy of the user's optimizer for each module, on its device; they share one learning rate.

What may be done about pseudo-gradients that come late stands here, too: `Lateness`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

from sideways_tf.engines import LossScale, schedule
from sideways_tf.errors import UserError
from sideways_tf.learning_rate import DELAY_RATES, Divided
from sideways_tf.modules import SidewaysBlock

# Keras has two kinds, of which the older is none of the newer.
Optimizer: TypeAlias = Any
OptimizerLike: TypeAlias = str | Optimizer | Callable[[], Optimizer]


LOOK_AHEAD = ("none", "nesterov", "delay")


class Lateness(NamedTuple):
    """What is done about pseudo-gradients that come late; the paper does nothing.

    The pseudo-gradient of module i stems from a loss of a frame that passed it 2(D - i) steps ago.

    Attributes:
      delay_rates: "none"; "root" or "inverse": the learning rate of module i, divided by
        sqrt(1 + 2(D - i)) or by 1 + 2(D - i). Decoupled weight decay is not divided.
      look_ahead: "none"; else after each update the weights stand s times that update farther, and
        the next one starts from where they would be without. "nesterov": s is the optimizer's own
        momentum (or beta_1), so that with SGD and momentum it is Nesterov's rule; "delay": s is
        2(D - i) / L, the updates until the loss of what is computed now comes back.
      every: L, computation steps from one update to the next; 0: one update a clip.
    """

    delay_rates: str = "none"
    look_ahead: str = "none"
    every: int = 0

    def check(self, algorithm: str) -> None:
        """Refuse words that are none, and what would do nothing.

        Raises:
          UserError: naming the argument, its value and the remedy.
        """
        for name, value, known in (
            ("delay_rates", self.delay_rates, tuple(DELAY_RATES)),
            ("look_ahead", self.look_ahead, LOOK_AHEAD),
        ):
            if value not in known:
                raise UserError(f"{name}={value}: give one of {', '.join(known)}")
        if algorithm == "bp" and self.delay_rates != "none":
            raise UserError(
                f"delay_rates={self.delay_rates}: the gradients of algorithm=bp are not late; "
                "leave it out"
            )
        if self.look_ahead == "delay" and (algorithm == "bp" or not self.every):
            reason = "the gradients of algorithm=bp are not late"
            if algorithm != "bp":
                reason = "with update_every=0 weights stand still until a loss comes back"
            raise UserError(f"look_ahead=delay: {reason}; leave it out")

    def divisor(self, module: int, depth: int) -> float:
        """Of the learning rate of module i = `module`."""
        return DELAY_RATES[self.delay_rates](schedule.delay(module, depth))

    def ahead(self, module: int, depth: int, optimizer: Optimizer) -> float:
        """s of module i = `module`."""
        if self.look_ahead == "delay":
            return schedule.delay(module, depth) / self.every
        return momentum_of(optimizer) if self.look_ahead == "nesterov" else 0.0


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
      lateness: see there.

    Attributes:
      template: the one that callbacks see. It updates nothing, but counts.
      each: those of the modules, once they are made.
      loss_scale: what the user's `LossScaleOptimizer` says; None if there is none.
      ahead: for each module, how far each of its weights stands ahead, where they look ahead.

    Raises:
      UserError: for an optimizer that Keras does not know, or without the momentum that `lateness`
        needs.
    """

    def __init__(
        self,
        optimizer: OptimizerLike,
        updates: Callable[[], tf.Tensor],
        lateness: Lateness = Lateness(),  # noqa: B008, it is frozen
    ):
        super().__init__()
        self._make: Callable[[], Optimizer] | None = None
        if callable(optimizer) and not hasattr(optimizer, "apply_gradients"):
            self._make = optimizer
        self.given = self._make() if self._make else _by_name(optimizer)
        self.template = _inner(self.given)
        self.loss_scale = _loss_scale(self.given)
        self._updates, self._lateness = updates, lateness
        if lateness.look_ahead == "nesterov":
            momentum_of(self.template)
        self.each: list[Optimizer] = []
        self._times: list[float] = []
        # A checkpoint keeps it; it is none of the model's weights.
        self._kept = tf.train.Checkpoint(ahead=[])

    def make(self, modules: Sequence[SidewaysBlock]) -> None:
        """Make the copies and all their variables now, not while their first update is traced.

        A `tf.function` that makes variables is traced twice, and nothing could be restored before.
        """
        if self.each:
            return
        with tf.init_scope():
            # Older optimizers make these when they are asked for.
            _ = self.template.iterations, _rate_of(self.template)
            rate = SharedRate(self.template, self._updates)
            for number, module in enumerate(modules, 1):
                optimizer = _inner(self._make()) if self._make else copy_of(self.template, rate)
                times = self._lateness.ahead(number, len(modules), optimizer)
                with tf.device(module.device):
                    divide_rate(optimizer, self._lateness.divisor(number, len(modules)))
                    make_moments(optimizer, module.trainable_variables)
                    ahead = [
                        tf.Variable(tf.zeros_like(variable), trainable=False, name="ahead")
                        for variable in (module.trainable_variables if times else ())
                    ]
                self._times.append(times)
                self._kept.ahead.append(ahead)
                self.each.append(optimizer)

    @property
    def ahead(self) -> list[list[tf.Variable]]:
        """See the class."""
        return self._kept.ahead

    def apply(
        self, i: int, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
    ) -> None:
        """One update of module i, from 0."""
        if not gradients:
            return
        pairs, ahead = list(zip(gradients, variables, strict=True)), self.ahead[i]
        if not ahead:
            self.each[i].apply_gradients(pairs)
            return
        if len(ahead) != len(pairs):
            raise UserError(
                f"module {i + 1} has {len(pairs)} trained weights, at compile it had {len(ahead)}: "
                "compile again after a change of `trainable`"
            )
        for variable, far in zip(variables, ahead, strict=True):
            variable.assign_sub(far)
        before = [tf.identity(variable) for variable in variables]
        self.each[i].apply_gradients(pairs)
        for variable, start, far in zip(variables, before, ahead, strict=True):
            far.assign(self._times[i] * (variable - start))
            variable.assign_add(far)

    def count(self, updates: tf.Tensor) -> None:
        """Let the template show how many updates there were."""
        self.template.iterations.assign(tf.cast(updates, tf.int64))

    def learning_rate(self) -> tf.Tensor:
        """Of the coming update, []."""
        # Module D's, whose pseudo-gradients are never late.
        rate = _rate_of(self.each[-1] if self._make and self.each else self.template)
        return rate(self._updates()) if callable(rate) else tf.convert_to_tensor(rate)


def _by_name(optimizer: str | Optimizer) -> Optimizer:
    try:
        return tf.keras.optimizers.get(optimizer)
    except (ValueError, TypeError) as error:
        raise UserError(f"optimizer={optimizer}: Keras knows no such optimizer") from error


def _inner(optimizer: Optimizer) -> Optimizer:
    """What is inside a `LossScaleOptimizer`; anything else is itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _loss_scale(optimizer: Optimizer) -> LossScale | None:
    """That of a `LossScaleOptimizer`."""
    if not hasattr(optimizer, "inner_optimizer"):
        return None
    growth = optimizer.dynamic_growth_steps if optimizer.dynamic else 0
    return LossScale(float(optimizer.initial_scale), growth)


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


def divide_rate(optimizer: Optimizer, divisor: float) -> None:
    """Divide the learning rate of `optimizer`, whatever it is, by `divisor`."""
    if divisor == 1.0:
        return
    rate = Divided(_rate_of(optimizer), divisor)
    if hasattr(optimizer, "_set_hyper"):
        optimizer._set_hyper("learning_rate", rate)
    else:
        optimizer._learning_rate = optimizer._build_learning_rate(rate)


def momentum_of(optimizer: Optimizer) -> float:
    """Its coefficient of momentum, Adam's beta_1.

    Raises:
      UserError: if it has none, or looks ahead by itself.
    """
    name = type(optimizer).__name__
    if getattr(optimizer, "nesterov", False) or "Nadam" in name:
        raise UserError(
            f"look_ahead=nesterov: the optimizer {name} does so by itself; leave one of both out"
        )
    found = [getattr(optimizer, key, None) for key in ("momentum", "beta_1")]
    momentum = sum(float(value) for value in found if value is not None)
    if not momentum:
        raise UserError(
            f"look_ahead=nesterov: the optimizer {name} has no momentum to look ahead by; give it "
            "some, or leave look_ahead out"
        )
    return momentum


def _rate_of(optimizer: Optimizer) -> Any:
    """Its learning rate: a variable or a schedule."""
    if hasattr(optimizer, "_get_hyper"):
        return optimizer._get_hyper("learning_rate")
    return optimizer._learning_rate

"""Keras callbacks for training by modules: curves, agreement with BP, a clean stop."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sideways_tf.agreement import Agreement, compare, reference_engine
from sideways_tf.engines import Episode
from sideways_tf.errors import UserError


class ModuleCallback(tf.keras.callbacks.Callback):
    """What the callbacks of this package have in common: `self.model` is a `SidewaysModel`."""

    # Logs stay tensors: nobody waits for a number that is not shown.
    _supports_tf_logs = True

    @property
    def done(self) -> int:
        """Batches trained on, over all starts of a run."""
        return int(self.model.iteration)


class ModuleCurves(ModuleCallback):
    """TensorBoard curves of the training, by batch: the means since the last point.

    Tags: fit/loss, fit/ and each metric, rate/learning_rate, rate/steps_per_second (batches),
    gradient_mean/module_1 .., gradient_norm/module_1 .. of the averaged (pseudo-)gradients of the
    last batch; where there is a `Diagnosis`, gradient_cosine/module_1 .. and
    gradient_norm_ratio/module_1 ..: TensorBoard sorts by them. In float16 rate/loss_scale and
    fit/skipped_updates.

    Args:
      folder: of the event files.
      every: batches from one point to the next.
      told: called with each point, too: "train" or "diagnosis", and its numbers; those of modules
        are lists.
      last: the batch at which all training ends, which has a point, too; 0: unknown.

    Raises:
      UserError: in `fit`, at a point where loss or gradients are not finite.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        every: int = 10,
        told: Callable[[str, dict[str, Any]], None] | None = None,
        last: int = 0,
    ):
        super().__init__()
        self.every, self.told, self.last = every, told, last
        self._writer = tf.summary.create_file_writer(str(folder))
        self._last = (0, 0.0)  # Batches and time of the last point.

    def on_train_begin(self, logs: Any = None) -> None:
        self._last = self.done, time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.done % self.every == 0 or self.done == self.last:
            self.point(logs or {})

    def point(self, logs: dict[str, Any]) -> None:
        """One point of each curve, now."""
        check_finite(self.model)
        done, now = self.done, time.monotonic()
        rate = (done - self._last[0]) / max(now - self._last[1], 1e-9)
        self._last = done, now
        monitor = self.model.monitor
        rates = {"learning_rate": monitor.learning_rate, "steps_per_second": rate}
        if self.model.loss_scale is not None:
            rates["loss_scale"] = self.model.loss_scale.value
            logs = {**logs, "skipped_updates": self.model.loss_scale.skipped}
        modules = {
            "gradient_mean": monitor.gradient_mean, "gradient_norm": monitor.gradient_norm
        }  # fmt: skip
        self._write(
            "train",
            {f"fit/{name}": value for name, value in logs.items()}
            | {f"rate/{name}": value for name, value in rates.items()},
            modules,
        )
        self.model.reset_metrics()

    def agreement(self, found: Agreement) -> None:
        """One point of each curve that compares pseudo-gradients with true gradients."""
        modules = {"gradient_cosine": found.cosine, "gradient_norm_ratio": found.norm_ratio}
        self._write("diagnosis", {}, modules)

    def _write(self, part: str, single: dict[str, Any], modules: dict[str, tf.Tensor]) -> None:
        numbers = {tag: float(value) for tag, value in single.items()}
        lists = {name: [float(each) for each in values] for name, values in modules.items()}
        with self._writer.as_default(self.done):
            for tag, number in numbers.items():
                tf.summary.scalar(tag, number)
            for name, values in lists.items():
                for i, number in enumerate(values, 1):
                    tf.summary.scalar(f"{name}/module_{i}", number)
        if self.told:
            self.told(part, {tag.partition("/")[2]: n for tag, n in numbers.items()} | lists)

    def on_train_end(self, logs: Any = None) -> None:
        self._writer.flush()


class NotFinite(UserError):
    """Loss or pseudo-gradients are NaN or infinite."""


def check_finite(model: Any) -> None:
    """Refuse to go on where the last batch's loss or pseudo-gradients are not finite.

    Raises:
      NotFinite: naming the modules.
    """
    loss, norms = float(model.monitor.loss), model.monitor.gradient_norm.numpy()
    bad = [i for i, norm in enumerate(norms, 1) if not math.isfinite(norm)]
    if bad or not math.isfinite(loss):
        raise NotFinite(
            f"iteration {int(model.iteration)}: the loss is {loss}, gradients are not finite in "
            f"modules {bad}; what was saved before it is kept; try a lower learning_rate"
        )


class Diagnosis(ModuleCallback):
    """Compares what the model trains on with BP's gradients: same batch, weights and masks.

    The true gradient is that of the very loss the episode reports. In Sideways this is the mean
    over the K - D + 1 frames that reach module D before the episode ends, frame tau against the
    target of step tau + D - 1, at which its output appears. BP over all K frames would be another
    loss: then even module D, whose pseudo-gradient is exact (section 3.4), would seem to be off.
    So over these frames the cosine of module D is always 1, up to rounding; with identical frames
    that of every module is. For a module i below, the difference holds all that Sideways leaves
    out: gradients that meet later frames, and those of the last D - i losses, still on their way
    to it when the episode ends.

    Values before clipping; it changes no number of the run. Only where L = K.

    Args:
      every: batches from one comparison to the next. Such a batch takes about twice as long.
      curves: where the points go; else they are only in `found`.

    Attributes:
      found: the last `Agreement`.
    """

    def __init__(self, every: int, curves: ModuleCurves | None = None):
        super().__init__()
        self.every, self.curves = every, curves
        self.found: Agreement | None = None
        self._values: tuple[tf.Variable, tf.Variable] | None = None

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        if self._values is None:
            zeros = tf.zeros([model.depth])
            self._values = tf.Variable(zeros), tf.Variable(zeros)
        if self._compare not in model._hooks:
            model._hooks.append(self._compare)
            model.train_function = None  # It may have been traced without.

    def _compare(
        self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor, episode: Episode
    ) -> None:
        """In the graph of a training step, before its updates."""

        def compared() -> tuple[tf.Tensor, tf.Tensor]:
            engine = reference_engine(self.model.engine)
            frames = episode.outputs.shape[0] + engine.wiring.history
            true, _ = engine.compute(clip[:frames], targets[-frames:], seed)
            found = compare(episode.pseudo_gradients, true.pseudo_gradients)
            for variable, value in zip(self._values or (), found, strict=True):
                variable.assign(value)
            return tf.constant(True)

        due = (self.model.iteration + 1) % self.every == 0
        tf.cond(due, compared, lambda: tf.constant(False))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._values and self.done % self.every == 0:
            self.found = Agreement(*(tf.identity(value) for value in self._values))
            if self.curves:
                self.curves.agreement(self.found)


class StopOnSignal(ModuleCallback):
    """The first Ctrl-C or SIGTERM ends the training after the batch; the next one at once.

    Attributes:
      stopped: the signal that came; None else.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stopped: signal.Signals | None = None

    def __enter__(self) -> StopOnSignal:
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._before = {number: signal.signal(number, self._stop) for number in numbers}
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _: Any) -> None:
        self.stopped = signal.Signals(number)
        signal.signal(number, signal.default_int_handler)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.stopped:
            self.model.stop_training = True

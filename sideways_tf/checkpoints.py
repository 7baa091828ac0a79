"""Checkpoints of a training by modules: written whole, and gone on from bit for bit."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from sideways_tf.callbacks import ModuleCallback, check_finite
from sideways_tf.errors import UserError


class SaveAndResume(ModuleCallback):
    """Saves the model with its optimizers, pipe and counts, and goes on from what was saved.

    On a CPU with deterministic kernels, a run that was stopped and continued ends with the weights
    of an unbroken one, bit for bit.

    Args:
      folder: of the checkpoints.
      every: batches from one to the next; 0: only where `save` is called.
      keep: how many of the newest are kept.
      window: batches over which `mean_loss` averages.
      also: what else is saved, by name.

    Attributes:
      mean_loss: float32 variable, running average of the training loss.
      saved_seconds: float64 variable, seconds of training up to the last save, over all starts.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        every: int = 0,
        keep: int = 2,
        window: int = 100,
        also: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self._also = dict(also or {})
        self.folder, self.every, self.keep, self.window = Path(folder), every, keep, window
        self.mean_loss = tf.Variable(0.0, trainable=False)
        self.saved_seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self._started = time.monotonic()
        self._manager: tf.train.CheckpointManager | None = None

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        if self._manager is None:
            self._remove_unfinished()
            self._forget_removed()
            checkpoint = tf.train.Checkpoint(
                model=model, mean_loss=self.mean_loss, seconds=self.saved_seconds, **self._also
            )
            self._manager = tf.train.CheckpointManager(checkpoint, str(self.folder), self.keep)

    def _remove_unfinished(self) -> None:
        """What a killed save has left: ckpt-8_temp/, checkpoint.tmp7e65.., data that lack an index.

        So TensorFlow calls what it moves into place when it is whole.
        """
        for path in [*self.folder.glob("ckpt-*_temp"), *self.folder.glob("checkpoint.tmp*")]:
            _remove(path)
        for path in self.folder.glob("ckpt-*.data-*"):
            if not path.with_suffix(".index").exists():
                _remove(path)

    def _forget_removed(self) -> None:
        """Let TensorFlow's list hold what is there: removing files goes back to those before."""
        state = tf.train.get_checkpoint_state(str(self.folder))
        listed = list(state.all_model_checkpoint_paths) if state else []
        there = [path for path in listed if Path(f"{path}.index").exists()]
        if there and there != listed:
            tf.compat.v1.train.update_checkpoint_state(str(self.folder), there[-1], there)
        elif listed and not there:
            (self.folder / "checkpoint").unlink()

    def restore(self) -> int:
        """Go back to the newest checkpoint, if there is one; returns the batches trained on.

        Call it when the model is built and compiled.

        Raises:
          UserError: if it is damaged, or of another network.
        """
        assert self._manager is not None
        self.model.optimizers.make(self.model.modules)
        newest = self._manager.latest_checkpoint
        if newest:
            try:
                self._manager.checkpoint.restore(newest).assert_existing_objects_matched()
            except (AssertionError, ValueError, tf.errors.OpError) as error:
                tf.get_logger().setLevel("ERROR")  # It would list every value without a place.
                reason = str(error).strip().splitlines()[0]
                raise UserError(
                    f"checkpoint {newest} is damaged or of another network ({reason}); remove its "
                    "files to go on from the one before, or use another workdir"
                ) from error
        self._started = time.monotonic()
        return self.done

    @property
    def seconds(self) -> float:
        """Of training up to now, over all starts."""
        return float(self.saved_seconds) + time.monotonic() - self._started

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        count = min(self.done, self.window)
        self.mean_loss.assign_add((self.model.monitor.loss - self.mean_loss) / count)
        if self.every and self.done % self.every == 0:
            self.save()

    def save(self) -> None:
        """Save now, unless these batches are saved already.

        Raises:
          UserError: if the model is not finite: the checkpoints before are kept.
        """
        assert self._manager is not None
        number = self.done or int(self.model.steps)  # A stream has no batches.
        if (self._manager.latest_checkpoint or "").endswith(f"-{number}"):
            return
        check_finite(self.model)
        now = time.monotonic()
        self.saved_seconds.assign_add(now - self._started)
        self._started = now
        try:
            self._manager.save(checkpoint_number=number)
        except BaseException:
            self._remove(number)
            raise

    def _remove(self, number: int) -> None:
        """What a save that failed has left, of a full disk above all; the others are whole."""
        for path in self.folder.glob(f"ckpt-{number}[._]*"):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

"""Saving a run, and going on from what was saved."""

from __future__ import annotations

import time

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.runs.folder import RunFolder
from sideways_tf.training.update import Update


class Checkpoints:
    """Saves and restores an `Update`: modules, optimizer moments, iteration; and seconds spent.

    Where a run stands in its data follows from the iteration alone.
    """

    def __init__(self, folder: RunFolder, update: Update, keep: int = 2):
        self.update = update
        self.saved_seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self._started = time.monotonic()
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(
                modules=update.engine.modules, update=update, seconds=self.saved_seconds
            ),
            str(folder.checkpoints),
            max_to_keep=keep,
        )

    @property
    def seconds(self) -> float:
        """Seconds of training up to the last save, over all starts of the run."""
        return float(self.saved_seconds)

    def restore(self) -> int:
        """Go back to the newest checkpoint, if there is one; returns the iteration.

        Call it when all variables exist: an optimizer makes its moments when the update is traced.
        """
        newest = self._manager.latest_checkpoint
        if newest:
            try:
                self._manager.checkpoint.restore(newest).assert_existing_objects_matched()
            except (AssertionError, ValueError, tf.errors.OpError) as error:
                tf.get_logger().setLevel("ERROR")  # It would list every value without a place.
                reason = str(error).strip().splitlines()[0]
                raise UserError(
                    f"checkpoint {newest} is damaged or of another network ({reason}); remove its "
                    "files to go on from the one before, or use another --workdir"
                ) from error
        self._started = time.monotonic()
        return int(self.update.iteration)

    def save(self) -> None:
        """Save now, unless this iteration is saved already."""
        iteration = int(self.update.iteration)
        if (self._manager.latest_checkpoint or "").endswith(f"-{iteration}"):
            return
        now = time.monotonic()
        self.saved_seconds.assign_add(now - self._started)
        self._started = now
        self._manager.save(checkpoint_number=iteration)

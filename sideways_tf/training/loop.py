"""The training loop: iterations, checkpoints, curves, and a clean stop at any moment."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from sideways_tf.data import VideoDataset
from sideways_tf.errors import UserError
from sideways_tf.report import progress
from sideways_tf.report.accuracy import measure_accuracy
from sideways_tf.report.tensorboard import Curves
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder
from sideways_tf.training import run
from sideways_tf.training.checkpoints import Checkpoints
from sideways_tf.training.diagnosis import Diagnosis
from sideways_tf.training.update import Metrics


class Loop:
    """Trains `update` on `dataset` as `config` says, in `folder`.

    Attributes:
      total: iterations of the whole run.
      stopped: the signal that ended the loop before its time; None else.
    """

    def __init__(self, config: Config, dataset: VideoDataset, update: Any, folder: RunFolder):
        self.config, self.dataset, self.update = config, dataset, update
        self.folder = folder
        self.checkpoints = Checkpoints(folder, update)
        self.curves = self.make_curves(folder)
        self.per_epoch = run.iterations_per_epoch(config, dataset)
        self.learning_rate = run.schedule(config, config.learning_rate, self.per_epoch)
        total = config.epochs * self.per_epoch
        self.total = min(total, config.max_iterations) if config.max_iterations else total
        self.diagnosis = Diagnosis(update) if config.diagnose_every else None
        self.stopped: signal.Signals | None = None
        self._logged = (0, 0.0)  # Iteration and time of the last point of the curves.

    def make_curves(self, folder: RunFolder) -> Any:
        """What writes this task's curves."""
        return Curves(folder.path, self.update.engine.depth)

    @property
    def done(self) -> int:
        """Iterations made."""
        return int(self.update.iteration)

    @property
    def seconds(self) -> float:
        """Seconds of training, over all starts of the run."""
        return self.checkpoints.seconds

    @property
    def final_loss(self) -> float:
        """Training loss, a running average over about the last epoch, in nats."""
        return float(self.update.mean_loss)

    def train(self) -> None:
        """Go on from the newest checkpoint to the end, or until a signal says stop."""
        done = self.checkpoints.restore()
        with self._signals(), self._progress(done) as shown:
            for clip, labels in self._batches(done):
                self._diagnose(clip, labels, done + 1)
                metrics = self.update(clip, labels)
                done += 1
                self._check_finite(metrics, done)
                self._show(shown, metrics, done)
                if done % (self.config.checkpoint_every or self.per_epoch) == 0:
                    self.checkpoints.save()
                if self.stopped:
                    break
                if self._test_due(done):
                    self.test()
        self.checkpoints.save()
        self.curves.flush()

    def test(self) -> Any:
        """Accuracy over the whole test videos, now."""
        videos = self.dataset.test_videos(run.clip(self.config))
        modules = self.update.engine.modules
        accuracy = measure_accuracy(modules, videos, self.dataset.num_test)
        self.curves.test(self.done, accuracy)
        return accuracy

    def figures(self, report: Any) -> dict[str, Any]:
        """What results.json says of `test`'s report: accuracies in [0, 1], the loss in nats."""
        return {
            "test_video_accuracy": report.video,
            "test_frame_accuracy": report.frame,
            "test_loss": report.loss,
        }

    def _batches(self, done: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """The batches from iteration `done` on, across epochs."""
        c = self.config
        while done < self.total:
            epoch, skip = divmod(done, self.per_epoch)
            batches = self.dataset.train_batches(
                run.clip(c), seed=c.seed, epoch=epoch, skip=skip, batch_size=c.batch_size
            )
            for batch in batches.take(self.total - done):
                yield batch
                done += 1

    def _test_due(self, done: int) -> bool:
        every = self.config.evaluate_every * self.per_epoch
        return done < self.total and bool(every) and done % every == 0

    def _diagnose(self, clip: tf.Tensor, labels: tf.Tensor, iteration: int) -> None:
        """Before the update that makes `iteration`, where it is due."""
        if self.diagnosis and iteration % self.config.diagnose_every == 0:
            self.curves.diagnosis(iteration, self.diagnosis(clip, labels))

    def _check_finite(self, metrics: Metrics, done: int) -> None:
        loss, norms = float(metrics.loss), metrics.gradient_norm.numpy()
        bad = [i for i, norm in enumerate(norms, 1) if not math.isfinite(norm)]
        if bad or not math.isfinite(loss):
            raise UserError(
                f"iteration {done}: the loss is {loss}, gradients are not finite in modules {bad}; "
                "the last checkpoint before it is kept; try a lower --learning_rate"
            )

    def _show(self, shown: tqdm, metrics: Metrics, done: int) -> None:
        shown.set_postfix(self._text(metrics), refresh=False)
        shown.update()
        if done % self.config.log_every == 0 or done == self.total:
            now = time.monotonic()
            rate = (done - self._logged[0]) / (now - self._logged[1])
            self._logged = done, now
            self.curves.training(done, metrics, float(self.learning_rate(done - 1)), rate)
            self.folder.note_progress(done, self.total)

    def _text(self, metrics: Any) -> dict[str, str]:
        """What the progress bar says."""
        loss, accuracy = float(metrics.loss), float(metrics.accuracy)
        return {"loss": f"{loss:.3f}", "accuracy": f"{accuracy:.1%}"}

    def _progress(self, done: int) -> tqdm:
        self._logged = done, time.monotonic()
        self.folder.note_progress(done, self.total)
        what = f"{self.config.algorithm} {self.config.model}"
        return progress.bar(what, self.total, "step", done)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Within: the first Ctrl-C or SIGTERM ends the loop after the iteration, saving."""

        def stop(number: int, _: object) -> None:
            self.stopped = signal.Signals(number)
            signal.signal(number, signal.default_int_handler)

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, stop) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

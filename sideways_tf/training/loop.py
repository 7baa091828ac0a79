"""The training loop: iterations, checkpoints, curves, and a clean stop at any moment."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Iterator

import tensorflow as tf
from tqdm import tqdm

from sideways_tf.config import Config
from sideways_tf.data import VideoDataset
from sideways_tf.errors import UserError
from sideways_tf.report import progress
from sideways_tf.report.accuracy import Accuracy, measure_accuracy
from sideways_tf.report.tensorboard import Curves
from sideways_tf.training import run
from sideways_tf.training.checkpoints import Checkpoints
from sideways_tf.training.run_folder import RunFolder
from sideways_tf.training.update import Metrics, Update


class Loop:
    """Trains `update` on `dataset` as `config` says, in `folder`.

    Attributes:
      total: iterations of the whole run.
      stopped: the signal that ended the loop before its time; None else.
    """

    def __init__(self, config: Config, dataset: VideoDataset, update: Update, folder: RunFolder):
        self.config, self.dataset, self.update = config, dataset, update
        self.checkpoints = Checkpoints(folder, update)
        self.curves = Curves(folder.path)
        self.per_epoch = run.iterations_per_epoch(config, dataset)
        self.learning_rate = run.schedule(config, config.learning_rate, self.per_epoch)
        total = config.epochs * self.per_epoch
        self.total = min(total, config.max_iterations) if config.max_iterations else total
        self.stopped: signal.Signals | None = None

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

    def test(self) -> Accuracy:
        """Accuracy over the whole test videos, now."""
        videos = self.dataset.test_videos(size=self.config.size, stride=self.config.stride)
        modules = self.update.engine.modules
        accuracy = measure_accuracy(modules, videos, self.dataset.num_test)
        self.curves.test(self.done, accuracy)
        return accuracy

    def _batches(self, done: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """The batches from iteration `done` on, across epochs."""
        c = self.config
        while done < self.total:
            epoch, skip = divmod(done, self.per_epoch)
            batches = self.dataset.train_batches(
                seed=c.seed, epoch=epoch, skip=skip, batch_size=c.batch_size,
                frames=c.frames, size=c.size, stride=c.stride, padding=c.padding,
            )  # fmt: skip
            for batch in batches.take(self.total - done):
                yield batch
                done += 1

    def _test_due(self, done: int) -> bool:
        every = self.config.evaluate_every * self.per_epoch
        return done < self.total and bool(every) and done % every == 0

    def _check_finite(self, metrics: Metrics, done: int) -> None:
        loss, norms = float(metrics.loss), metrics.gradient_norm.numpy()
        bad = [i for i, norm in enumerate(norms, 1) if not math.isfinite(norm)]
        if bad or not math.isfinite(loss):
            raise UserError(
                f"iteration {done}: the loss is {loss}, gradients are not finite in modules {bad}; "
                "the last checkpoint before it is kept; try a lower --learning_rate"
            )

    def _show(self, shown: tqdm, metrics: Metrics, done: int) -> None:
        loss, accuracy = float(metrics.loss), float(metrics.accuracy)
        text = {"loss": f"{loss:.3f}", "accuracy": f"{accuracy:.1%}"}
        shown.set_postfix(text, refresh=False)
        shown.update()
        if done % self.config.log_every == 0 or done == self.total:
            now = time.monotonic()
            rate = (done - self._logged[0]) / (now - self._logged[1])
            self._logged = done, now
            self.curves.training(done, metrics, float(self.learning_rate(done - 1)), rate)

    def _progress(self, done: int) -> tqdm:
        self._logged = done, time.monotonic()
        what = f"{self.config.algorithm} {self.config.model}"
        return progress.bar(what, self.total, "step", done)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Within: the first Ctrl-C or SIGTERM ends the loop after the iteration, saving."""

        def stop(number: int, _) -> None:
            self.stopped = signal.Signals(number)
            signal.signal(number, signal.default_int_handler)

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, stop) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

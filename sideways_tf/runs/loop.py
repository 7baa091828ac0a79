"""The training of a run: epochs of `fit`, tests between them, and a clean stop at any moment."""

from __future__ import annotations

import time
from typing import Any

from tqdm import tqdm

from sideways_tf.callbacks import (
    Diagnosis,
    ModuleCallback,
    ModuleCurves,
    SaveAndResume,
    StopOnSignal,
)
from sideways_tf.data import VideoDataset
from sideways_tf.model import SidewaysModel
from sideways_tf.report import progress
from sideways_tf.report.layout import run_layout, write_layout
from sideways_tf.runs import make
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder
from sideways_tf.runs.testing import make_test

SHOWN_SECONDS = 0.5


class Bar(ModuleCallback):
    """A progress bar over all epochs; the run folder gets to know how far it is."""

    def __init__(self, shown: tqdm, folder: RunFolder, every: int):
        super().__init__()
        self.shown, self.folder, self.every = shown, folder, every
        self._said = 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.monotonic()
        if now - self._said > SHOWN_SECONDS:  # Numbers are waited for only where they are shown.
            self._said = now
            texts = {name: f"{float(value):.4g}" for name, value in (logs or {}).items()}
            self.shown.set_postfix(texts, refresh=False)
        self.shown.update()
        if self.done % self.every == 0:
            self.folder.note_progress(self.done, self.shown.total)


class Loop:
    """Trains `model` on `dataset` as `config` says, in `folder`.

    Attributes:
      total: iterations of the whole run.
    """

    def __init__(
        self, config: Config, dataset: VideoDataset, model: SidewaysModel, folder: RunFolder
    ):
        self.config, self.dataset, self.model, self.folder = config, dataset, model, folder
        self.per_epoch = make.iterations_per_epoch(config, dataset)
        total = config.epochs * self.per_epoch
        self.total = min(total, config.max_iterations) if config.max_iterations else total
        every = config.checkpoint_every or self.per_epoch
        self.saved = SaveAndResume(folder.checkpoints, every, window=self.per_epoch)
        self.saved.set_model(model)
        self.curves = ModuleCurves(folder.path / "train", config.log_every)
        self.test = make_test(config, dataset, model, folder)
        self.signals = StopOnSignal()
        if not config.autoencodes:
            write_layout(folder.path, run_layout(model.depth))

    @property
    def done(self) -> int:
        """Iterations made."""
        return int(self.model.iteration)

    def train(self) -> None:
        """Go on from the newest checkpoint to the end, or until a signal says stop."""
        done = self.saved.restore()
        self.folder.note_progress(done, self.total)
        what = f"{self.config.algorithm} {self.config.model}"
        with self.signals, progress.bar(what, self.total, "step", done) as shown:
            callbacks = self._callbacks(shown)
            while self.done < self.total and not self.signals.stopped:
                epoch, skip = divmod(self.done, self.per_epoch)
                batches = make.train_batches(
                    self.config, self.dataset, epoch, skip, self.model.depth
                )
                self.model.fit(
                    batches.take(self.total - self.done), initial_epoch=epoch, epochs=epoch + 1,
                    verbose=0, callbacks=callbacks,
                )  # fmt: skip
                if self._test_due() and not self.signals.stopped:
                    self.test()
            if self.done == self.total and self.done % self.config.log_every:
                self.curves.point({m.name: m.result() for m in self.model.metrics})
        self.saved.save()

    def _callbacks(self, shown: tqdm) -> list[ModuleCallback]:
        bar = Bar(shown, self.folder, self.config.log_every)
        found: list[ModuleCallback] = [bar, self.saved]
        if self.config.diagnose_every:
            found.append(Diagnosis(self.config.diagnose_every, self.curves))
        return [*found, self.curves, self.signals]

    def _test_due(self) -> bool:
        every = self.config.evaluate_every * self.per_epoch
        return self.done < self.total and bool(every) and self.done % every == 0

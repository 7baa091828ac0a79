"""The training of a run: epochs of `fit`, tests between them, and a clean stop at any moment."""

from __future__ import annotations

import time
from typing import Any

from sideways_tf import progress
from sideways_tf.callbacks import Diagnosis, ModuleCallback, ModuleCurves, StopOnSignal
from sideways_tf.checkpoints import SaveAndResume
from sideways_tf.data import VideoDataset
from sideways_tf.model import SidewaysModel
from sideways_tf.report.card import write_cards
from sideways_tf.report.layout import run_layout
from sideways_tf.runs import make, opening
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder
from sideways_tf.runs.rows import Rows
from sideways_tf.runs.testing import make_test
from sideways_tf.screen import SCREEN

SHOWN_SECONDS = 0.5
TERMINAL = "{percentage:3.0f}%|{bar}| {desc}{postfix}, {rate_noinv_fmt}, {remaining} left"
LOG = "{desc}{postfix}, {rate_noinv_fmt}, {remaining} left"


class Bar(ModuleCallback):
    """A progress bar over all epochs; the run folder gets to know how far it is."""

    def __init__(self, shown: progress.Bar, loop: Loop):
        super().__init__()
        self.shown, self.loop = shown, loop
        self._said = 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.monotonic()
        if now - self._said > SHOWN_SECONDS:  # Numbers are waited for only where they are shown.
            self._said = now
            self.shown.set_postfix_str(words(logs or {}), refresh=False)
        self.shown.set_description_str(self.loop.place(), refresh=False)
        self.shown.update()
        if self.done % self.loop.config.log_every == 0:
            self.loop.folder.note_progress(self.done, self.shown.total)


def words(logs: dict[str, Any]) -> str:
    """Loss and accuracy of the training clips since the last point of the curves."""
    said = [f"loss {float(logs['loss']):.4g}"] if "loss" in logs else []
    if "frame_accuracy" in logs:
        said.append(f"accuracy of clips {float(logs['frame_accuracy']):.1%}")
    if "skipped_updates" in logs and int(logs["skipped_updates"]):
        said.append(f"{int(logs['skipped_updates'])} updates skipped")
    return ", ".join(said)


class Loop:
    """Trains `model` on `dataset` as `config` says, in `folder`.

    Attributes:
      total: iterations of the whole run.
      tester: tests the model, see `testing.Test`.
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
        self.rows = Rows(folder.path / "metrics.jsonl")
        self.curves = ModuleCurves(
            folder.path / "train", config.log_every, told=self._point, last=self.total
        )
        self.tester = make_test(config, dataset, model, folder)
        self.signals = StopOnSignal()
        layout = None if config.autoencodes else run_layout(model.depth)
        shown = config.affecting("result", "length", "repetition")
        write_cards(folder.path, shown, layout, folder.changes)

    @property
    def done(self) -> int:
        """Iterations made."""
        return int(self.model.iteration)

    def train(self) -> None:
        """Go on from the newest checkpoint to the end, or until a signal says stop."""
        done = self.saved.restore()
        self.rows.go_on_from(done)
        self.folder.note_progress(done, self.total)
        self._open()
        with self.signals, self._bar() as shown:
            callbacks = self._callbacks(shown)
            if self._test_due() and not self.rows.has("test", done):
                self.test()  # It was stopped before.
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
        self.saved.save()

    def test(self) -> Any:
        """The report of a test of the model as it is now; it is said and written down."""
        started = time.monotonic()
        report = self.tester()
        figures, seconds = self.tester.numbers(report), time.monotonic() - started
        self.rows.add("test", self.done, {"epoch": self.done / self.per_epoch, **figures})
        said = f"test     {self.place()}: {self.tester.words(report)} ({seconds:.0f} s)"
        SCREEN.tell("test", said, iteration=self.done, seconds=seconds, **figures)
        return report

    def place(self) -> str:
        """Epoch and iteration, of how many."""
        epoch = max(1, -(-self.done // self.per_epoch))
        return f"epoch {epoch}/{self.config.epochs}, iteration {self.done}/{self.total}"

    def _open(self) -> None:
        said = opening.facts(self.config, self.dataset, self.model, self.total)
        text = opening.screen(self.config, said, str(self.folder.path))
        if self.done:
            text += f"\ngoes on  from iteration {self.done} of {self.total}"
        SCREEN.tell("start", text, workdir=str(self.folder.path), iteration=self.done, **said)

    def _point(self, part: str, numbers: dict[str, Any]) -> None:
        values = {"epoch": self.done / self.per_epoch, "seconds": self.saved.seconds, **numbers}
        row = self.rows.add(part, self.done, values)
        if row:
            SCREEN.tell("point", "", **row)

    def _bar(self) -> progress.Bar:
        batch = self.config.batch_size
        return progress.bar(
            self.place(), self.total, " clips", self.done, keep=True, terminal=TERMINAL, log=LOG,
            unit_scale=batch if batch > 1 else False,
        )  # fmt: skip

    def _callbacks(self, shown: progress.Bar) -> list[ModuleCallback]:
        # The curves come before the checkpoint: what lies behind one is measured anew.
        found: list[ModuleCallback] = [Bar(shown, self), self.curves, self.saved, self.signals]
        if self.config.diagnose_every:
            found.insert(0, Diagnosis(self.config.diagnose_every, self.curves))
        return found

    def _test_due(self) -> bool:
        every = self.config.evaluate_every * self.per_epoch
        return 0 < self.done < self.total and bool(every) and self.done % every == 0

"""A run's folder: its configuration, how far it is, its results; never half-written."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import pathlib
import time
from collections.abc import Sequence
from typing import IO, Any

from absl import flags

from sideways_tf.errors import UserError
from sideways_tf.limits import DEPTHS
from sideways_tf.runs.checks import check_writable
from sideways_tf.runs.config import Config
from sideways_tf.runs.from_flags import from_flags, from_lines, from_plain
from sideways_tf.whole_file import write_whole

# What may change while a run goes on: the saved values fit as they are.
ADJUSTABLE = ("learning_rate", "weight_decay", "clip_value", "warmup_epochs", "drop_epochs")


class RunFolder:
    """The folder `--workdir` of one run.

    flags.cfg      the full configuration: a flagfile that runs it again
    checkpoints/   modules, optimizers and iteration; the newest few
    train/ test/   TensorBoard events
    metrics.jsonl  every point of the curves, a JSON object a line
    changes.json   flags that were changed while it went on, see --allow_changed
    progress.json  how far the training is
    results.json   once the run is finished
    .lock          locked as long as a process trains here, whatever ends it

    Args:
      allowed: flags that may differ from those of the run that is there.
    """

    def __init__(self, path: str | os.PathLike, allowed: Sequence[str] = ()):
        self.allowed = allowed
        self.path = pathlib.Path(path).expanduser()
        self.flags = self.path / "flags.cfg"
        self.checkpoints = self.path / "checkpoints"
        self._changes = self.path / "changes.json"
        self._progress = self.path / "progress.json"
        self._lock: IO[str] | None = None

    def check(self, config: Config) -> None:
        """Find the folder free, or made for `config`; writes nothing.

        Raises:
          UserError: if the folder cannot be written, holds a run that another process trains or
            that is of another configuration, or something else.
        """
        check_writable("workdir", self.path)
        if self.flags.exists():
            old = self.config()
            names = config.differences(old)
            if set(names) - set(self.allowed):
                changed = (
                    f"--{n} was {getattr(old, n)}, now is {getattr(config, n)}" for n in names
                )
                remedy = "name another --workdir, or none for a new one"
                if set(names) <= set(ADJUSTABLE):
                    remedy += f", or go on with it by --allow_changed={','.join(names)}"
                raise UserError(
                    f"--workdir={self.path} holds a run of another configuration: "
                    f"{'; '.join(changed)}; {remedy}"
                )
            self._locked().close()
        elif self.path.exists() and {".lock"} < {".lock", *os.listdir(self.path)}:
            raise UserError(
                f"--workdir={self.path} is not empty and holds no run; name another folder"
            )

    def claim(self, config: Config) -> None:
        """Make the folder for `config`, or find it made for the same, until this process ends."""
        self.check(config)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = self._locked()
        if self.flags.exists():
            self._note_changes(self.config(), config)
        write_whole(self.flags, "\n".join(config.flag_lines()) + "\n")

    def _note_changes(self, old: Config, new: Config) -> None:
        saved = [int(path.stem.rpartition("-")[2]) for path in self.checkpoints.glob("*.index")]
        found = [
            {"iteration": max(saved), "flag": n, "was": old.plain()[n], "now": new.plain()[n]}
            for n in (new.differences(old) if saved else [])
        ]
        if found:
            write_whole(self._changes, json.dumps([*self.changes, *found], indent=1) + "\n")

    @property
    def changes(self) -> list[dict[str, Any]]:
        """Flags that were changed while the run went on: after which iteration, was, now."""
        return json.loads(self._changes.read_text()) if self._changes.exists() else []

    def _locked(self) -> IO[str]:
        lock = (self.path / ".lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"--workdir={self.path}: another process trains there; let it end, or name another"
            ) from None
        return lock

    def config(self) -> Config:
        """The configuration the folder was made for."""
        if not self.flags.exists():
            raise UserError(f"--workdir={self.path} holds no run: there is no {self.flags.name}")
        return from_lines([f"--flagfile={self.flags}"])

    def note_progress(self, done: int, total: int) -> None:
        """Write down that `done` of `total` iterations are made."""
        write_whole(self._progress, json.dumps({"done": done, "total": total}) + "\n")

    def progress(self) -> float | None:
        """The share of the training that is done, in [0, 1]; None before it begins."""
        if not self._progress.exists():
            return None
        said = json.loads(self._progress.read_text())
        return said["done"] / said["total"]

    def results(self, config: Config | None = None) -> dict[str, Any] | None:
        """results.json, once the run has finished; with `config`, only if it is of this very one.

        Raises:
          UserError: if the file is damaged.
        """
        path = self.path / "results.json"
        try:
            found = json.loads(path.read_text()) if path.exists() else None
            same = (
                not (found and config)
                or from_plain(found["configuration"]).plain() == config.plain()
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error}); remove it and run again") from None
        return found if same else None

    def finish(self, results: dict[str, Any]) -> None:
        """Write results.json."""
        write_whole(self.path / "results.json", json.dumps(results, indent=2) + "\n")


def open_run(values: flags.FlagValues) -> tuple[Config, RunFolder]:
    """The run that the parsed flags say; flags not given are those of the run in --workdir.

    Raises:
      UserError: if the flags contradict each other or the folder; see `RunFolder.check`.
    """
    allowed = values["allow_changed"].value if "allow_changed" in values else []
    for name in allowed:
        if name not in ADJUSTABLE:
            raise UserError(
                f"--allow_changed={name}: while a run goes on, only {', '.join(ADJUSTABLE)} may be "
                "changed"
            )
    named = RunFolder(values["workdir"].value, allowed)
    base = named.config() if values["workdir"].value and named.flags.exists() else None
    chosen = from_flags(values, base)
    chosen.check(chosen.modules or DEPTHS[chosen.model])
    folder = named if chosen.workdir else RunFolder(new_run_path(chosen))
    folder.check(chosen)
    return chosen, folder


def new_run_path(config: Config) -> str:
    """A path that does not exist yet: runs/<data set>-<model>-<algorithm>-<time>."""
    when = time.strftime("%Y%m%d-%H%M%S")
    stem = f"runs/{config.dataset}-{config.model}-{config.algorithm}-{when}"
    paths = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
    return next(path for path in paths if not os.path.exists(path))

"""One run of a sweep as a process of `python -m sideways_tf.train`."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sideways_tf.runs import child
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder
from sideways_tf.runs.sweep.grid import Setting

_LOG_TAIL = 8192  # bytes


@dataclasses.dataclass
class Job:
    """One run: `config` in `workdir`, its output in the file beside it, `<workdir>.log`."""

    setting: Setting
    config: Config
    workdir: Path

    @property
    def log(self) -> Path:
        """What the process printed, over all its starts."""
        return self.workdir.with_name(self.workdir.name + ".log")

    def results(self) -> dict[str, Any] | None:
        """The results of this very configuration; None if they are yet to be made.

        Raises:
          UserError: the folder holds a run of another configuration or one that is at work, or
            results.json is damaged.
        """
        folder = RunFolder(self.workdir)
        folder.check(self.config)
        return folder.results(self.config)


class Process:
    """A job that runs, in the folder of this process."""

    def __init__(self, job: Job, environment: Mapping[str, str]):
        self.job = job
        job.log.parent.mkdir(parents=True, exist_ok=True)
        flags = [*job.config.flag_lines(), f"--workdir={job.workdir}"]
        with job.log.open("ab") as log:
            self._start = log.tell()
            self._popen = subprocess.Popen(
                **child.command("sideways_tf.train", flags, environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the sweep alone, which passes it on once.
            )

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._popen.poll() is not None

    @property
    def share(self) -> float | None:
        """How far the training is, in [0, 1]; None before it begins."""
        return RunFolder(self.job.workdir).progress()

    def error(self) -> str | None:
        """Waits for the end. What went wrong, in one line; None if it ended well."""
        status = self._popen.wait()
        if not status:
            return None
        with self.job.log.open("rb") as log:
            log.seek(max(self._start, log.seek(0, os.SEEK_END) - _LOG_TAIL))
            tail = log.read().decode(errors="replace")
        lines = [line.strip() for line in tail.splitlines() if line.strip()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return f"status {status}, {['it said nothing', *lines, *errors][-1]}"

    def terminate(self) -> None:
        """Ask it to save and end."""
        self._popen.terminate()

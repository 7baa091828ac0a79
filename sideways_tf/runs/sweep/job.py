"""One run of a sweep as a process of `python -m sideways_tf.train`."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from sideways_tf.errors import UserError
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder
from sideways_tf.runs.sweep.grid import Setting

ROOT = Path(__file__).resolve().parents[2]
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

    @property
    def data(self) -> tuple[object, ...]:
        """Runs that are equal in this read the same prepared data set."""
        return self.config.dataset, self.config.split, self.config.shorter_side

    def results(self) -> dict[str, Any] | None:
        """The results of this very configuration; None if they are yet to be made.

        Raises:
          UserError: the folder holds a run of another configuration, or results.json is damaged.
        """
        folder = RunFolder(self.workdir)
        folder.check(self.config)
        results = folder.results()
        wanted = json.loads(json.dumps(dataclasses.asdict(self.config)))
        del wanted["workdir"]
        return results if results and results["configuration"] == wanted else None


class Process:
    """A job that runs.

    The log file is locked as long as the process lives, even if the sweep was killed, so that no
    two ever work in one folder.
    """

    def __init__(self, job: Job, environment: dict[str, str]):
        """Start it.

        Raises:
          UserError: an earlier start of the run is still alive.
        """
        self.job = job
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("ab") as log:
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(
                    f"a process of an earlier start still writes {job.log}; let it end"
                ) from None
            self._start = log.tell()
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "sideways_tf.train", *job.config.flag_lines(),
                 f"--workdir={job.workdir.resolve()}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C reaches the sweep alone, which passes it on once.
            )  # fmt: skip

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._popen.poll() is not None

    @property
    def share(self) -> float | None:
        """How far the training is, in [0, 1]; None before it begins."""
        bar = rf"{self.job.config.algorithm} {self.job.config.model}: [^\r\n]*? (\d+)/(\d+) \["
        found = re.findall(bar, self._tail())
        return int(found[-1][0]) / int(found[-1][1]) if found else None

    def error(self) -> str | None:
        """Waits for the end. What went wrong, in one line; None if it ended well."""
        status = self._popen.wait()
        if not status:
            return None
        lines = [line.strip() for line in self._tail().splitlines() if line.strip()]
        said = lines[-1].removeprefix("error: ") if lines else "it said nothing"
        return f"status {status}, {said}"

    def terminate(self) -> None:
        """Ask it to save and end."""
        self._popen.terminate()

    def _tail(self) -> str:
        """The end of what this start has printed."""
        with self.job.log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._start, end - _LOG_TAIL))
            return log.read().decode(errors="replace")

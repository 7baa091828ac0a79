"""Runs jobs as processes, several at once, and goes on when one fails."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from tqdm import tqdm

from sideways_tf.errors import UserError
from sideways_tf.runs.sweep.job import Job, Process

_POLL_SECONDS = 0.2


class Outcome(NamedTuple):
    """Of a job: its results.json, or what went wrong in one line."""

    job: Job
    results: dict[str, Any] | None
    error: str | None


def run(jobs: Sequence[Job], bar: tqdm, parallel: int, gpus: Sequence[str]) -> list[Outcome]:
    """Run what is not finished; the outcomes are in the order of `jobs`.

    Args:
      bar: shows how many of the jobs are done.
      parallel: processes at once.
      gpus: CUDA numbers, dealt to the processes in turn; empty: all GPUs to each.
    """
    return _Runner(jobs, bar, parallel, gpus).run()


class _Runner:
    def __init__(self, jobs: Sequence[Job], bar: tqdm, parallel: int, gpus: Sequence[str]):
        self.jobs, self.bar = jobs, bar
        self.gpus = [gpus[n % len(gpus)] if gpus else None for n in range(parallel)]
        self.running: dict[int, Process] = {}  # by slot
        self.outcomes: dict[int, Outcome] = {}  # by id of the job

    def run(self) -> list[Outcome]:
        for job in self.jobs:
            self._take_finished(job)
        waiting = [job for job in self.jobs if id(job) not in self.outcomes]
        try:
            while waiting or self.running:
                self._start(waiting)
                self._collect()
                self._show()
                time.sleep(_POLL_SECONDS)
        except KeyboardInterrupt:
            self._stop()
            raise
        finally:
            self.bar.close()
        return [self.outcomes[id(job)] for job in self.jobs]

    def _take_finished(self, job: Job) -> None:
        try:
            results = job.results()
        except UserError as error:
            self._finish(job, None, str(error))
        else:
            if results:
                self._finish(job, results, None)

    def _start(self, waiting: list[Job]) -> None:
        """Fill the free slots. Where a data set is yet to be prepared, one process does it."""
        for slot, job in itertools.product(range(len(self.gpus)), list(waiting)):
            preparing = {
                p.job.config.prepared_data for p in self.running.values() if p.share is None
            }
            if slot in self.running or job not in waiting or job.config.prepared_data in preparing:
                continue
            waiting.remove(job)
            gpu = self.gpus[slot]
            visible = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
            self.running[slot] = Process(job, visible)

    def _collect(self) -> None:
        for slot, process in list(self.running.items()):
            if process.done:
                del self.running[slot]
                error = process.error()
                if error:
                    self._finish(process.job, None, f"{error}; all it said is in {process.job.log}")
                else:
                    self._take_finished(process.job)
                    if id(process.job) not in self.outcomes:
                        said = f"it ended well, but wrote no results; see {process.job.log}"
                        self._finish(process.job, None, said)

    def _finish(self, job: Job, results: dict[str, Any] | None, error: str | None) -> None:
        self.outcomes[id(job)] = Outcome(job, results, error)
        if error:
            tqdm.write(f"failed: {job.workdir.name}: {error}", file=sys.stderr)

    def _show(self) -> None:
        """Whole runs and shares of runs."""
        shares = sum(process.share or 0.0 for process in self.running.values())
        self.bar.set_postfix_str(f"{len(self.running)} running", refresh=False)
        self.bar.update(round(len(self.outcomes) + shares, 2) - self.bar.n)

    def _stop(self) -> None:
        print("stopping: the runs save; the same command goes on", file=sys.stderr, flush=True)
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.error()

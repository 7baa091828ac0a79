"""Runs jobs as processes, several at once, and goes on when one fails."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from tqdm import tqdm

from sideways_tf.errors import UserError
from sideways_tf.runs.sweep.job import Job, Process
from sideways_tf.screen import SCREEN

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
    outcomes = {n: _said(known) for n, job in enumerate(jobs) if (known := _known(job))}
    waiting = {n: job for n, job in enumerate(jobs) if n not in outcomes}
    bar.n = bar.initial = len(outcomes)  # They took no time now, so they tell nothing of the rest.
    slots = [{"CUDA_VISIBLE_DEVICES": gpus[n % len(gpus)]} if gpus else {} for n in range(parallel)]
    running: dict[int, tuple[int, Process]] = {}  # slot -> number of the job, its process
    try:
        while waiting or running:
            for slot, environment in enumerate(slots):
                if slot not in running and (number := _startable(waiting, running)) is not None:
                    running[slot] = number, Process(waiting.pop(number), environment)
            ended = [slot for slot, (_, process) in running.items() if process.done]
            for slot in ended:
                number, process = running.pop(slot)
                outcomes[number] = _said(_ended(process))
            shares = sum(process.share or 0.0 for _, process in running.values())
            bar.set_postfix_str(f"{len(running)} running", refresh=False)
            bar.update(round(len(outcomes) + shares, 2) - bar.n)
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        SCREEN.note("stopping: the runs save; the same command goes on")
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.error()
        raise
    finally:
        bar.close()
    return [outcomes[n] for n in range(len(jobs))]


def _startable(waiting: dict[int, Job], running: dict[int, tuple[int, Process]]) -> int | None:
    """The first job that may start: where a data set is yet to be prepared, one process does it."""
    preparing = {p.job.config.prepared_data for _, p in running.values() if p.share is None}
    numbers = (n for n, job in waiting.items() if job.config.prepared_data not in preparing)
    return next(numbers, None)


def _known(job: Job) -> Outcome | None:
    """What its folder says, if it is finished or cannot be run."""
    try:
        results = job.results()
    except UserError as error:
        return Outcome(job, None, str(error))
    return Outcome(job, results, None) if results else None


def _ended(process: Process) -> Outcome:
    job, error = process.job, process.error()
    if error:
        return Outcome(job, None, f"{error}; all it said is in {job.log}")
    return _known(job) or Outcome(job, None, f"it ended well, but wrote no results; see {job.log}")


def _said(outcome: Outcome) -> Outcome:
    if outcome.error:
        SCREEN.note(f"failed: {outcome.job.workdir.name}: {outcome.error}")
    return outcome

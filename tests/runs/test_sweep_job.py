"""A run of a sweep: when it counts as finished, and that two processes never share a folder."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sideways_tf import progress
from sideways_tf.errors import UserError
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder
from sideways_tf.runs.sweep import runner
from sideways_tf.runs.sweep.job import Job, Process

ROOT = Path(__file__).parents[2]


@pytest.fixture
def job(tmp_path):
    return Job({"frames": "12"}, Config(frames=12), tmp_path / "frames=12,seed=0")


def finish(job, **changes):
    config = dataclasses.replace(job.config, **changes)
    folder = RunFolder(job.workdir)
    folder.claim(config)
    folder.finish({"configuration": config.plain(), "test_video_accuracy": 0.5})


def test_finished_only_with_results_of_this_configuration(job):
    assert job.results() is None
    finish(job)
    assert job.results()["test_video_accuracy"] == 0.5
    # Longer training of the same run: to be continued.
    longer = dataclasses.replace(job, config=dataclasses.replace(job.config, epochs=301))
    assert longer.results() is None


def test_another_configuration_in_the_folder_is_an_error(job):
    finish(job, frames=16)
    with pytest.raises(UserError, match="--frames was 16, now is 12"):
        job.results()


def test_damaged_results_are_an_error(job):
    finish(job)
    (job.workdir / "results.json").write_text(json.dumps({"a": 1})[:-1])
    with pytest.raises(UserError, match="results.json is damaged"):
        job.results()


def test_a_run_that_is_at_work_is_an_error_and_a_dead_one_is_not(job):
    code = (
        "import sys, time; from sideways_tf.runs.folder import RunFolder; "
        "from sideways_tf.runs.config import Config; folder = RunFolder(sys.argv[1]); "
        "folder.claim(Config(frames=12)); print('claimed', flush=True); time.sleep(60)"
    )
    arguments = [sys.executable, "-c", code, job.workdir]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "claimed\n"
        for attempt in (job.results, lambda: RunFolder(job.workdir).claim(job.config)):
            with pytest.raises(UserError, match="another process trains there"):
                attempt()
        process.kill()
    assert job.results() is None
    RunFolder(job.workdir).claim(job.config)


def test_progress_is_read_from_the_folder(job):
    folder = RunFolder(job.workdir)
    assert folder.progress() is None
    folder.claim(job.config)
    folder.note_progress(3, 12)
    assert folder.progress() == 0.25


def test_a_run_reads_relative_paths_from_the_folder_of_the_sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    here = Job({}, Config(dataset="ucf101", data_dir="videos"), Path("runs/a"))
    assert "--data_dir=videos" in Process(here, {}).error()
    there = Job({}, Config(dataset="ucf101", data_dir="films"), Path("runs/a"))
    assert "--data_dir=films: no such folder" in Process(there, {}).error()


def test_a_process_that_fails_says_why_in_one_line(tmp_path):
    bad = Job({}, Config(frames=3), tmp_path / "bad")
    process = Process(bad, {"TF_CPP_MIN_LOG_LEVEL": "3"})
    assert process.error().startswith("status 2, 3 frames are too few for 6 modules")
    assert process.done
    assert process.share is None


def test_what_was_finished_before_is_not_counted_as_fast(job, tmp_path, monkeypatch):
    finish(job)
    shown = progress.bar("search", 2, " runs")
    seen = []
    monkeypatch.setattr(runner, "Process", lambda *_: seen.append((shown.n, shown.initial)) or Dead)
    other = dataclasses.replace(job, workdir=tmp_path / "other")
    outcomes = runner.run([job, other], shown, parallel=1, gpus=[])
    assert seen == [(1, 1)]
    assert [outcome.error is None for outcome in outcomes] == [True, False]


class Dead:
    """A process that has ended badly."""

    done, share = True, None

    @staticmethod
    def error():
        return "status 2"


Dead.job = Job({}, Config(), Path("dead"))

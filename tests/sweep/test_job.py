"""A run of a sweep: when it counts as finished, and that two processes never share a folder."""

import dataclasses
import fcntl
import json

import pytest

from sideways_tf.errors import UserError
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder
from sideways_tf.runs.sweep.job import Job, Process


@pytest.fixture
def job(tmp_path):
    return Job({"frames": "12"}, Config(frames=12), tmp_path / "frames=12,seed=0")


def finish(job, **changes):
    fields = {**dataclasses.asdict(job.config), **changes}
    del fields["workdir"]
    folder = RunFolder(job.workdir)
    folder.claim(dataclasses.replace(Config(), **fields))
    folder.finish({"configuration": fields, "test_video_accuracy": 0.5})


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


def test_no_second_process_while_one_writes_the_log(job):
    with job.log.open("ab") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="an earlier start still writes"):
            Process(job, {})


def test_a_process_that_fails_says_why_in_one_line(tmp_path):
    bad = Job({}, Config(frames=3), tmp_path / "bad")
    process = Process(bad, {"TF_CPP_MIN_LOG_LEVEL": "3"})
    assert process.error().startswith("status 2, 3 frames are too few for 6 modules")
    assert process.done
    assert process.share is None

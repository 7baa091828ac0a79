"""Runs read back from their folders, whole, living, damaged and of another recipe."""

import json

import pytest

from sideways_tf.errors import UserError
from sideways_tf.report.runs import alike, present_name, read_curves, unfinished
from sideways_tf.runs.config import Config
from sideways_tf.runs.read import find_runs, read_run
from tests.report.made_runs import make_run

SMALL = Config(frames=16, drop_epochs=(3,), allow_missing_videos=True)


def events(path, part="train"):
    return next((path / part).glob("events*.v2"))


def test_a_run_is_read_back_whole(tmp_path):
    run = read_run(make_run(tmp_path / "a", SMALL, accuracy=0.25, diagnosed=True))
    assert run.config == SMALL
    assert run.results["test_video_accuracy"] == 0.25
    curves = read_curves(run, ["train/", "test/"])
    modules = [f"module_{i}" for i in (1, 2, 3)]
    expected = [
        "train/fit/loss", "train/fit/frame_accuracy", "train/rate/learning_rate",
        "train/rate/steps_per_second",
        *(f"train/gradient_{what}/{module}" for what in ("mean", "norm", "cosine", "norm_ratio")
          for module in modules),
        "test/fit/video_accuracy", "test/fit/frame_accuracy", "test/fit/loss",
    ]  # fmt: skip
    assert sorted(curves) == sorted(expected)
    assert curves["train/fit/loss"].steps.tolist() == list(range(1, 9))
    assert curves["train/fit/loss"].values.tolist() == [n / 8 for n in range(1, 9)]
    assert curves["train/gradient_mean/module_3"].values[3] == 1.5
    assert curves["train/gradient_cosine/module_1"].values.tolist() == [0.5] * 8
    assert (curves["test/fit/video_accuracy"].steps, curves["test/fit/video_accuracy"].values) == (
        8,
        0.25,
    )
    assert list(read_curves(run, ["train/fit/loss"])) == ["train/fit/loss"]
    assert unfinished(run, curves) is None


def test_of_a_run_that_was_killed_and_continued_later_files_have_the_word(tmp_path):
    make_run(tmp_path / "a", SMALL, finished=False, value=lambda n: -1.0)
    first = events(tmp_path / "a")
    first.rename(first.with_name("events.out.tfevents.0000000001.vm.1.0.v2"))
    make_run(tmp_path / "a", SMALL, steps=range(5, 11))
    curve = read_curves(read_run(tmp_path / "a"), ["train/fit/loss"])["train/fit/loss"]
    assert curve.values.tolist() == [-1, -1, -1, -1, *(n / 8 for n in range(5, 11))]


def test_curves_of_earlier_versions_are_found_under_their_present_names():
    for old, new in (
        ("loss", "fit/loss"), ("accuracy", "fit/frame_accuracy"), ("cosine/module_1",
        "gradient_cosine/module_1"), ("norm_ratio/module_2", "gradient_norm_ratio/module_2"),
        ("gradient_norm/module_1", "gradient_norm/module_1"), ("fit/loss", "fit/loss"),
    ):  # fmt: skip
        assert present_name(old) == new


def test_a_living_run_is_read_up_to_its_last_whole_point(tmp_path):
    path = make_run(tmp_path / "a", SMALL, finished=False)
    file = events(path)
    file.write_bytes(file.read_bytes()[:-7])
    run = read_run(path)
    curves = read_curves(run, ["train/fit/loss", "train/gradient_norm/"])
    assert run.results is None
    assert curves["train/fit/loss"].steps[-1] == 8
    assert curves["train/gradient_norm/module_3"].steps[-1] == 7, "its last point is cut off"
    assert unfinished(run, curves) == f"{path}: unfinished, shown up to iteration 8"


def test_damaged_event_files_of_a_finished_run_are_named(tmp_path):
    path = make_run(tmp_path / "a", SMALL)
    data = bytearray(events(path).read_bytes())
    data[len(data) // 2] ^= 255
    events(path).write_bytes(data)
    run = read_run(path)
    assert "its event files end at iteration" in unfinished(run, read_curves(run, ["train/"]))


def test_results_without_event_files_are_named(tmp_path):
    path = make_run(tmp_path / "a", SMALL)
    alone = (path / "results.json").rename(tmp_path / "alone.json")
    run = read_run(alone)
    said = unfinished(run, read_curves(run, ["train/"]))
    assert said == f"{alone}: without curves, only its results are shown"


def test_what_cannot_be_read_is_named_and_the_rest_is_there(tmp_path):
    good = make_run(tmp_path / "good", SMALL)
    (make_run(tmp_path / "bad1", SMALL) / "results.json").write_text('{"configuration": ')
    (make_run(tmp_path / "bad2", SMALL) / "results.json").write_text('{"configuration": {}}')
    (make_run(tmp_path / "bad3", SMALL, finished=False) / "flags.cfg").write_text("--framez=3\n")
    other = make_run(tmp_path / "bad4", SMALL) / "results.json"
    results = json.loads(other.read_text())
    results["configuration"]["invented"] = 1
    other.write_text(json.dumps(results))
    runs, remarks = find_runs([tmp_path, good, tmp_path / "none"])
    assert [run.path for run in runs] == [good], "found twice, taken once"
    named = [remark.partition(": ")[0] for remark in remarks]
    assert named == [*(str(tmp_path / f"bad{n}") for n in (1, 2, 3, 4)), str(tmp_path / "none")]
    assert all("\n" not in remark for remark in remarks)
    with pytest.raises(UserError, match="no run there"):
        find_runs([tmp_path / "none"])


def test_runs_of_another_recipe_are_named(tmp_path):
    configs = [
        Config(frames=16, seed=0), Config(frames=32), Config(frames=16, seed=1, split=2),
        Config(frames=16, learning_rate=1.0, engine="pipelined", log_every=3),
    ]  # fmt: skip
    runs = [read_run(make_run(tmp_path / str(n), config)) for n, config in enumerate(configs)]
    kept, remarks = alike(runs, {"learning_rate"})
    assert [run.path.name for run in kept] == ["0", "2", "3"]
    assert remarks == [f"{tmp_path / '1'}: of another recipe, left out (--frames=32, not 16)"]
    kept, remarks = alike(runs, set())
    assert len(remarks) == 2
    assert alike([], set()) == ([], [])

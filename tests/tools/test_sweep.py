"""tools/sweep.py as a user runs it: choosing, failing, going on; each run a real training."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sideways_tf.report.runs import read_curves
from sideways_tf.runs.read import read_run

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
SMALL = [
    "--dataset=moving_shapes", "--resize=24", "--size=16", "--frames=12", "--batch_size=4",
    "--learning_rate=1e-3", "--warmup_epochs=0.1", "--evaluate_every=0", "--log_every=1",
]  # fmt: skip


def command(*flags):
    return [sys.executable, "tools/sweep.py", *SMALL, *map(str, flags)]


def run(*flags):
    return subprocess.run(command(*flags), cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_chooses_by_held_out_videos_goes_on_after_a_failure_and_repeats_nothing(cache, tmp_path):
    # Simple-CNN takes no dropout: those runs fail.
    flags = (
        f"--cache_dir={cache}", f"--output_dir={tmp_path}", "--grid=dropout=0.5,0",
        "--dropout=0.5", "--grid=weight_decay=0", "--seeds=2", "--parallel=2", "--max_iterations=3",
        "--diagnose_every=2",
    )  # fmt: skip
    done = run(*flags)
    assert done.returncode == 1, done.stderr[-2000:]
    failures = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert len(failures) == 1
    assert "dropout=0.5,weight_decay=0,seed=0" in failures[0]
    assert "--dropout=0.5 does nothing with --model=simple_cnn" in failures[0]
    assert "Best: dropout=0,weight_decay=0" in done.stdout
    said = json.loads((tmp_path / "sweep.json").read_text())
    assert said["chosen"] == {"": {"dropout": "0", "weight_decay": "0"}}
    assert [run["error"] is None for run in said["search"]] == [False, True]
    searched, finals = said["search"][1]["results"], [run["results"] for run in said["final"]]
    # 20 % of 320 training videos are tested on in the search; the 80 test videos only at the end.
    assert (searched["train_videos"], searched["test_videos"]) == (256, 64)
    assert [(r["seed"], r["train_videos"], r["test_videos"]) for r in finals] == [
        (0, 320, 80), (1, 320, 80),
    ]  # fmt: skip
    assert {r["configuration"]["holdout"] for r in finals} == {0.0}
    files = sorted(tmp_path.glob("*/*/results.json"))
    assert len(files) == 3
    check_diagnosis(files[0].parent)
    before = [file.stat().st_mtime_ns for file in files]
    again = run(*flags, "--log_format=json")
    assert again.returncode == 1
    note = json.loads(again.stderr.splitlines()[-1])
    assert (note["event"], note["text"].partition(",")[0]) == ("note", "failed: dropout=0.5")
    result = json.loads(again.stdout)
    assert (result["event"], result["chosen"]) == ("result", said["chosen"])
    assert [file.stat().st_mtime_ns for file in files] == before


def check_diagnosis(folder):
    """--diagnose_every=2 of 3 iterations: one point for each of the six modules."""
    curves = read_curves(read_run(folder), ["train/gradient_cosine/", "train/gradient_norm_ratio/"])
    kinds = ("gradient_cosine", "gradient_norm_ratio")
    names = [f"train/{what}/module_{i}" for what in kinds for i in range(1, 7)]
    assert sorted(curves) == names
    assert all(curve.steps.tolist() == [2] for curve in curves.values())
    cosines = [curves[name].values[0] for name in names[:6]]
    assert cosines[5] == pytest.approx(1, abs=1e-5)
    assert all(-1 <= cosine < 1 - 1e-5 for cosine in cosines[:5])


def test_a_stopped_sweep_goes_on_where_it_was(cache, tmp_path):
    flags = (
        f"--cache_dir={cache}", f"--output_dir={tmp_path}", "--grid=algorithm=sideways",
        "--seeds=1", "--checkpoint_every=5", "--max_iterations=400",
    )  # fmt: skip
    process = subprocess.Popen(command(*flags), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    workdir = tmp_path / "final/algorithm=sideways,seed=0"
    for _ in range(3000):
        if list(workdir.glob("checkpoints/*.index")):
            break
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    assert "the runs save; the same command goes on" in process.stderr.read()
    saved = max(int(f.stem.rpartition("-")[2]) for f in workdir.glob("checkpoints/*.index"))
    assert 5 <= saved < 400, "the signal came too late to test anything"
    assert not (workdir / "results.json").exists()
    log = workdir.with_name(workdir.name + ".log")
    assert f"stopped by SIGTERM at iteration {saved}" in log.read_text()
    # It ends soon after: the length of a run may change.
    done = run(*flags[:-1], f"--max_iterations={saved + 2}")
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((workdir / "results.json").read_text())
    assert results["iterations"] == saved + 2
    assert f"goes on  from iteration {saved} of {saved + 2}" in log.read_text()


BAD = {
    "no grid": ([], "the grid is empty"),
    "unknown flag": (["--grid=learning_rat=1"], "there is no flag --learning_rat"),
    "no values": (["--grid=learning_rate="], "give values"),
    "wrong value": (["--grid=learning_rate=fast"], "learning_rate=fast"),
    "no folder": (["--grid=stride=1,2", "--output_dir="], "--output_dir"),
    "not an axis": (["--grid=stride=1,2", "--compare=frames"], "--compare=frames"),
    "two tasks": (["--grid=model=simple_cnn,autoencoder"], "errors do not compare"),
    "stray word": (["--grid=stride=1,2", "now"], "'now' is no flag"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_line_before_anything_runs(case, tmp_path):
    flags, expected = BAD[case]
    done = run(f"--output_dir={tmp_path / 'sweep'}", *flags)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert expected in lines[0]
    assert not (tmp_path / "sweep").exists()

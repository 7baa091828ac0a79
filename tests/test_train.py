"""`python -m sideways_tf.train` and `evaluate` as a user runs them, in processes of their own."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.machine import machine_words
from sideways_tf.runs.read import read_run

ROOT = pathlib.Path(__file__).parents[1]
SMALL = [
    "--dataset=moving_shapes", "--resize=24", "--size=16", "--frames=12", "--batch_size=4",
    "--learning_rate=1e-3", "--warmup_epochs=0.1", "--max_iterations=24", "--checkpoint_every=4",
    "--evaluate_every=0", "--log_every=1", "--seed=3",
]  # fmt: skip


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def command(name, cache, *flags):
    return [sys.executable, "-m", f"sideways_tf.{name}", f"--cache_dir={cache}", *map(str, flags)]


def train(cache, *flags):
    """Runs to the end; the completed process."""
    return subprocess.run(
        command("train", cache, *flags), cwd=ROOT, capture_output=True, text=True, timeout=300
    )


def weights(workdir):
    """Every saved number of the newest checkpoint, but the clock."""
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints"))
    names = [n for n in reader.get_variable_to_shape_map() if "VARIABLE_VALUE" in n]
    return {n: reader.get_tensor(n) for n in names if not n.startswith(("seconds", "save_counter"))}


def rows(workdir):
    """What metrics.jsonl holds, but the clocks."""
    found = map(json.loads, (workdir / "metrics.jsonl").open())
    return [{k: v for k, v in row.items() if "second" not in k} for row in found]


@pytest.fixture(scope="session")
def unbroken(cache, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "unbroken"
    done = train(cache, *SMALL, f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr[-2000:]
    return workdir, done


def test_a_run_leaves_results_curves_checkpoints_and_a_flagfile(unbroken):
    workdir, done = unbroken
    results = json.loads((workdir / "results.json").read_text())
    assert results["iterations"] == 24
    assert results["test_videos"] == 80
    assert 0 <= results["test_video_accuracy"] <= 1
    assert np.isfinite(results["train_loss"])
    assert results["configuration"]["frames"] == 12
    assert results["versions"]["tensorflow"] == tf.__version__
    assert results["machine"] == machine_words()
    assert "test accuracy" in done.stdout
    assert f"-m tensorboard.main --logdir {workdir}" in done.stdout
    assert list(workdir.glob("checkpoints/ckpt-24.index"))
    for noise in ("cuda", "oneDNN", "TensorFlow Addons", "WARNING"):
        assert noise not in done.stderr


def test_curves_can_be_read_back(unbroken):
    workdir, _ = unbroken
    points = {}
    for file in workdir.glob("*/events*"):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name != "scalars":
                    continue
                curve = points.setdefault(f"{file.parent.name}/{value.tag}", {})
                curve[event.step] = float(tf.make_ndarray(value.tensor))
    modules = [
        f"train/gradient_{what}/module_{i}" for what in ("mean", "norm") for i in range(1, 7)
    ]
    fit, rate = ("loss", "frame_accuracy"), ("learning_rate", "steps_per_second")
    scalars = [*(f"train/fit/{name}" for name in fit), *(f"train/rate/{name}" for name in rate)]
    found = ("loss", "frame_accuracy", "video_accuracy", "video_top5_accuracy")
    tests = [f"test/fit/{name}" for name in found]
    assert sorted(points) == sorted(modules + scalars + tests)
    assert list(points["train/fit/loss"]) == list(range(1, 25))
    assert list(points["test/fit/video_accuracy"]) == [24]
    # 80 iterations an epoch, warm-up over 8: iteration n (from 0) has n / 8 of the rate.
    assert [points["train/rate/learning_rate"][n] for n in (1, 5, 9, 24)] == pytest.approx(
        [0, 0.5e-3, 1e-3, 1e-3]
    )
    results = json.loads((workdir / "results.json").read_text())
    assert points["test/fit/video_accuracy"][24] == pytest.approx(results["test_video_accuracy"])
    assert min(points["train/gradient_norm/module_1"].values()) > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_and_continued_equals_unbroken_bit_for_bit(number, cache, unbroken, tmp_path):
    workdir = tmp_path / "run"
    arguments = command("train", cache, *SMALL, f"--workdir={workdir}")
    process = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    # Stop it in the middle: after a checkpoint, before the end.
    for _ in range(3000):
        if tf.train.latest_checkpoint(str(workdir / "checkpoints")):
            break
        assert process.poll() is None, process.stderr.read()[-2000:]
        time.sleep(0.02)
    process.send_signal(number)
    stdout, _ = process.communicate(timeout=120)
    saved = tf.train.latest_checkpoint(str(workdir / "checkpoints"))
    assert int(saved.rpartition("-")[2]) < 24, "the signal came too late to test anything"
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 128 + number
        assert f"stopped by {number.name} at iteration" in stdout
        assert f"--workdir={workdir}" in stdout
    done = train(cache, *SMALL, f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert rows(workdir) == rows(unbroken[0])
    left, right = weights(unbroken[0]), weights(workdir)
    assert sorted(left) == sorted(right)
    assert sum("kernel" in name for name in left) >= 18, "kernels and two moments of each"
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_a_run_stopped_in_its_last_test_goes_on_to_its_results(cache, tmp_path):
    # All batches are trained on then, and the last point of the curves lies between two others.
    flags = [*SMALL, "--max_iterations=3", "--log_every=2", f"--workdir={tmp_path}"]
    first = train(cache, *flags)
    assert first.returncode == 0, first.stderr[-2000:]
    unbroken, results = rows(tmp_path), json.loads((tmp_path / "results.json").read_text())
    assert [row["iteration"] for row in unbroken if row["part"] == "train"] == [2, 3]
    (tmp_path / "results.json").unlink()
    written = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(written[:-1]))  # Without the test's row.
    done = train(cache, *flags)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "goes on  from iteration 3 of 3" in done.stdout
    assert rows(tmp_path) == unbroken
    again = json.loads((tmp_path / "results.json").read_text())
    for name in ("train_loss", "test_loss", "test_video_accuracy", "iterations"):
        assert again[name] == results[name], name


def test_the_flagfile_runs_it_again_to_the_same_weights(cache, unbroken, tmp_path):
    flagfile = unbroken[0] / "flags.cfg"
    done = train(cache, f"--flagfile={flagfile}", f"--workdir={tmp_path / 'again'}")
    assert done.returncode == 0, done.stderr[-2000:]
    left, right = weights(unbroken[0]), weights(tmp_path / "again")
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_a_finished_run_is_shown_not_repeated(cache, unbroken):
    before = (unbroken[0] / "results.json").stat().st_mtime_ns
    done = train(cache, *SMALL, f"--workdir={unbroken[0]}")
    assert done.returncode == 0
    assert "finished already" in done.stdout
    assert (unbroken[0] / "results.json").stat().st_mtime_ns == before


def test_evaluate_gives_the_accuracy_of_the_run(cache, unbroken):
    arguments = command("evaluate", cache, f"--workdir={unbroken[0]}", "--json")
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    said, results = json.loads(done.stdout), json.loads((unbroken[0] / "results.json").read_text())
    assert said["iteration"] == 24
    assert said["video_accuracy"] == results["test_video_accuracy"]
    assert said["frame_accuracy"] == results["test_frame_accuracy"]
    assert sum(row["videos"] for row in said["classes"].values()) == 80


def test_pipelined_on_two_devices_and_bp_and_float16_run_too(cache, tmp_path):
    for flags in (
        ["--engine=pipelined", "--logical_cpus=2"],
        ["--algorithm=bp", "--engine=pipelined"],
        ["--precision=mixed_float16", "--optimizer=momentum", "--weight_decay=1e-3"],
    ):
        workdir = tmp_path / "-".join(flags).replace("--", "")
        done = train(cache, *SMALL, "--max_iterations=2", *flags, f"--workdir={workdir}")
        assert done.returncode == 0, done.stderr[-2000:]
        results = json.loads((workdir / "results.json").read_text())
        assert len(set(results["devices"])) == (2 if "--logical_cpus=2" in flags else 1)
        assert ("skipped_updates" in results) == ("--precision=mixed_float16" in flags)


BAD = {
    "unknown flag": (["--framez=3"], "framez"),
    "not a number": (["--frames=many"], "frames"),
    "not one of the choices": (["--algorithm=sgd"], "algorithm"),
    "stray word": (["train"], "'train' is no flag"),
    "no flagfile": (["--flagfile=configs/none.cfg"], "none.cfg"),
    "K below 2D - 1": (["--frames=10"], "10 frames are too few for 6 modules"),
    "crop above frame": (["--size=64", "--resize=48"], "--size=64 is larger than the frames"),
    "batch above data set": (["--batch_size=321"], "--batch_size=321"),
    "drops out of order": (["--drop_epochs=20,10"], "--drop_epochs"),
    "drops no numbers": (["--drop_epochs=soon"], "--drop_epochs=soon"),
    "no such device": (["--devices=GPU:7"], "no device 'GPU:7'; there are CPU:0"),
    "two devices, one asked": (
        ["--engine=time_shifted", "--logical_cpus=2"], "--engine=time_shifted runs on one device"
    ),
    "no address": (["--workers=localhost"], "'localhost' is no address"),
    "dead address": (["--workers=127.0.0.1:9"], "nobody answers at 127.0.0.1:9"),
    "data set missing": (["--dataset=ucf101", "--data_dir=/nowhere"], "/nowhere"),
    "data set not named": (["--dataset=hmdb51"], "data_dir=DIR"),
}  # fmt: skip


@pytest.mark.once
@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_line_and_writes_nothing(case, cache, unbroken, tmp_path):
    flags, expected = BAD[case]
    small = [flag for flag in SMALL if flag.split("=")[0] not in {f.split("=")[0] for f in flags}]
    done = train(cache, *small, *flags, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 2, done.stderr[-2000:]
    first, *below = [line for line in done.stderr.splitlines() if line.strip()]
    assert first.startswith("error: ")
    assert expected in first
    # What a data set's folder should look like stands below.
    assert bool(below) == (case == "data set not named"), done.stderr
    assert not (tmp_path / "run").exists()


def test_a_workdir_of_another_configuration_is_refused(cache, unbroken):
    done = train(cache, *SMALL, "--frames=13", f"--workdir={unbroken[0]}")
    assert done.returncode == 2
    assert "--frames was 12, now is 13" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_workdir_that_holds_something_else_is_refused(cache, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    done = train(cache, *SMALL, f"--workdir={tmp_path}")
    assert done.returncode == 2
    assert "is not empty and holds no run" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(cache, tmp_path):
    flags = ["--learning_rate=1e30", "--optimizer=sgd", "--warmup_epochs=0.06", "--clip_value=0"]
    small = [flag for flag in SMALL if not flag.startswith(("--learning", "--warmup"))]
    workdir = tmp_path / "run"
    done = train(cache, *small, *flags, "--checkpoint_every=1", f"--workdir={workdir}")
    assert done.returncode == 2, done.stderr[-2000:]
    assert "error: iteration" in done.stderr
    assert "Traceback" not in done.stderr
    assert "--learning_rate=1e+29 --allow_changed=learning_rate" in done.stderr
    assert not (workdir / "results.json").exists()
    for name, value in weights(workdir).items():
        assert np.isfinite(value).all(), name
    # The newest was saved when the loss was finite still, but the weights were huge.
    *_, before, newest = sorted(workdir.glob("checkpoints/*.index"))
    for part in workdir.glob(f"checkpoints/{newest.stem}.*"):
        part.unlink()
    saved = int(before.stem.partition("-")[2])
    lower = ["--learning_rate=1e-3", "--allow_changed=learning_rate"]
    done = train(cache, *lower, "--log_format=json", f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr[-2000:]
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert (said[0]["event"], said[0]["iteration"]) == ("start", saved)
    assert [row["layer"] for row in said[0]["modules"]][-1] == "linear"
    assert sum(row["work"] for row in said[0]["modules"]) == pytest.approx(1)
    assert said[-1]["event"] == "result"
    change = {"iteration": saved, "flag": "learning_rate", "was": 1e30, "now": 1e-3}
    assert said[-1]["changes"] == [change]
    assert read_run(workdir).departures["allow_changed"] == (
        f"learning_rate (1e+30, from iteration {saved} on 0.001)"
    )
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
    assert [row["iteration"] for row in rows if row["part"] == "train"] == list(range(1, 25))


def test_help_lists_the_flags_by_group_with_defaults():
    arguments = [sys.executable, "-m", "sideways_tf.train", "--help"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    for text in ("\ndata:\n", "\ntraining:\n", "initial learning rate (default 0.0001)"):
        assert text in done.stdout
    assert "--only_check_args" not in done.stdout


@pytest.mark.parametrize(
    ("config", "data"),
    [("ucf_simplecnn", "ucf101"), ("hmdb_simplecnn", "hmdb51")],
)
def test_official_layouts_go_through_their_flagfiles(config, data, real_data, cache, tmp_path):
    """The real folders, few steps, small frames."""
    done = train(
        cache, f"--flagfile=configs/{config}.cfg", f"--data_dir={real_data / data}",
        "--allow_missing_videos", "--size=28", "--frames=12", "--batch_size=2",
        "--max_iterations=2", f"--workdir={tmp_path / 'run'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    counts = (results["train_videos"], results["test_videos"], results["videos_left_out"])
    assert counts == {"ucf101": (272, 108, 0), "hmdb51": (2, 3, 0)}[data]


def test_without_leave_missing_videos_are_an_error(real_data, cache, tmp_path):
    done = train(
        cache, "--flagfile=configs/ucf_simplecnn.cfg", f"--data_dir={real_data / 'ucf101'}",
        f"--workdir={tmp_path / 'run'}",
    )  # fmt: skip
    assert done.returncode == 2
    error, *names, rest = done.stderr.strip().splitlines()
    assert error.startswith("error: ")
    assert "--allow_missing_videos" in error
    assert len(names) == 10
    assert "all in " in rest

"""Auto-encoding from the command line, in processes of their own."""

import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sideways_tf.runs import make
from sideways_tf.runs.folder import RunFolder
from tests.test_train import ROOT, cache, command, train, weights

__all__ = ["cache"]  # a fixture

SMALL = [
    "--dataset=moving_objects", "--model=autoencoder", "--resize=24", "--size=16", "--frames=14",
    "--batch_size=2", "--learning_rate=1e-3", "--warmup_epochs=0.1", "--max_iterations=4",
    "--evaluate_every=0", "--checkpoint_every=2", "--log_every=1", "--seed=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(cache, tmp_path_factory):
    """One run of each algorithm, by its name."""
    root = tmp_path_factory.mktemp("runs")
    for algorithm in ("bp", "sideways"):
        done = train(cache, *SMALL, f"--algorithm={algorithm}", f"--workdir={root / algorithm}")
        assert done.returncode == 0, done.stderr[-2000:]
        assert "mean squared error" in done.stdout
    return root


@pytest.fixture(scope="module")
def classifier(cache, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("classifier") / "run"
    flags = ["--dataset=moving_shapes", "--resize=24", "--size=16", "--frames=12"]
    done = train(cache, *flags, "--max_iterations=1", "--evaluate_every=0", f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr[-2000:]
    return workdir


@pytest.mark.parametrize("algorithm", ["bp", "sideways"])
def test_a_run_leaves_errors_curves_and_pictures(algorithm, runs):
    workdir = runs / algorithm
    results = json.loads((workdir / "results.json").read_text())
    assert results["stream_frames"] == 4 * 14
    assert results["test_videos"] == 16
    assert results["test_error"] == results["by_rule"][algorithm]["error"]
    assert 0 < results["test_latency_floor"] <= results["test_floor"] < results["test_error"]
    assert [point["stream_frames"] for point in results["test_curve"]] == [56]
    events = EventAccumulator(str(workdir / "test"), size_guidance={"tensors": 0})
    events.Reload()
    errors = {f"fit/{name}" for name in ("error", "source_error", "floor", "latency_floor")}
    hparams = "_hparams_/session_start_info"
    assert set(events.Tags()["tensors"]) == {*errors, "shown", hparams}
    picture = events.Tensors("shown")[0].tensor_proto.string_val[2]
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (6 * 16 + 5 * 2, 10 * 16 + 9 * 2, 3)


def test_the_floors_do_not_depend_on_the_network(runs):
    """They are those of the data; dropping frames makes BP's higher."""
    bp, sideways = (
        json.loads((runs / name / "results.json").read_text()) for name in ("bp", "sideways")
    )
    assert bp["by_rule"]["sideways"]["floor"] == sideways["test_floor"] == bp["test_latency_floor"]
    assert bp["test_floor"] > sideways["test_floor"]


@pytest.mark.parametrize("algorithm", ["bp", "sideways"])
def test_evaluate_gives_the_error_of_the_run(algorithm, runs, cache):
    done = subprocess.run(
        command("evaluate", cache, f"--workdir={runs / algorithm}", "--json"),
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((runs / algorithm / "results.json").read_text())
    assert json.loads(done.stdout)[algorithm]["error"] == results["test_error"]


def test_evaluate_on_the_videos_trained_on(runs, cache):
    """Their floor is of the data alone: known from the same frames, read here by hand."""
    done = subprocess.run(
        command("evaluate", cache, f"--workdir={runs / 'bp'}", "--videos=train", "--json"),
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["tested_on"] == "train"
    config = RunFolder(runs / "bp").config()
    floors = []
    for frames, *_ in make.load_dataset(config).train_videos(make.clip_of(config)):
        late = frames[5:].numpy() - frames[:-5].numpy()  # D - 1 steps.
        floors.append(np.mean(late**2))  # Each video counts alike.
    assert said["sideways"]["floor"] == pytest.approx(np.mean(floors), rel=1e-5)


def test_stopped_and_continued_equals_unbroken_bit_for_bit(runs, cache, tmp_path):
    half = [flag for flag in SMALL if "max_iterations" not in flag] + ["--algorithm=sideways"]
    for iterations in (2, 4):
        done = train(
            cache, *half, f"--max_iterations={iterations}", f"--workdir={tmp_path / 'run'}"
        )
        assert done.returncode == 0, done.stderr[-2000:]
    expected = weights(runs / "sideways")
    assert any("pseudo_gradient" in name for name in expected)
    for name, value in weights(tmp_path / "run").items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def plot(cache, *flags):
    arguments = [sys.executable, "tools/plot_reconstructions.py", f"--cache_dir={cache}", *flags]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_pictures_of_both_runs(runs, cache, tmp_path):
    both = [f"--{name}={runs / name}" for name in ("bp", "sideways")]
    done = plot(
        cache, *both, "--videos=2", f"--output={tmp_path / 'figure.png'}",
        f"--animation={tmp_path / 'figure.gif'}", "--scale=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    image = cv2.imread(str(tmp_path / "figure.png"))
    assert image.shape == (6 * 16 + 5 * 2, 10 * 16 + 9 * 2, 3)
    capture = cv2.VideoCapture(str(tmp_path / "figure.gif"))
    frames = 0
    while capture.read()[0]:
        frames += 1
    assert frames > 80  # two videos of 75 shown steps; a GIF merges equal ones


BAD = {
    "shorter than the pipe": (["--frames=10"], "10 frames are too few for 6 modules"),
    "bp, too": (["--frames=10", "--algorithm=bp"], "10 frames are too few for 6 modules"),
    "size that does not come back": (["--size=20"], "multiples of 8, such as 16 or 24"),
    "no labels to classify": (
        ["--model=simple_cnn"], "--dataset=moving_objects has no labels, --model=simple_cnn"
    ),
    "many frames at once": (["--engine=time_shifted"], "--engine=time_shifted computes many"),
    "crop above frame": (["--size=32"], "--size=32 is larger than the frames"),
}  # fmt: skip


def assert_one_line(done, expected):
    assert done.returncode == 2, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert expected in lines[0]


@pytest.mark.once
@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_line_and_writes_nothing(case, cache, tmp_path):
    flags, expected = BAD[case]
    small = [flag for flag in SMALL if flag.split("=")[0] not in {f.split("=")[0] for f in flags}]
    assert_one_line(train(cache, *small, *flags, f"--workdir={tmp_path / 'run'}"), expected)
    assert not (tmp_path / "run").exists()


def test_a_classifiers_folder_is_refused(classifier, cache, tmp_path):
    done = train(cache, *SMALL, f"--workdir={classifier}")
    assert_one_line(done, "holds a run of another configuration")
    done = plot(cache, f"--bp={classifier}", f"--output={tmp_path / 'a.png'}")
    assert_one_line(done, f"--bp={classifier} is a classifier (--model=simple_cnn)")


def test_a_classifiers_checkpoint_is_refused(classifier, runs, cache, tmp_path):
    """Put where the auto-encoder's was."""
    shutil.copytree(runs / "bp", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    shutil.copytree(classifier / "checkpoints", tmp_path / "run" / "checkpoints")
    done = subprocess.run(
        command("evaluate", cache, f"--workdir={tmp_path / 'run'}"),
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert_one_line(done, "of another network")


def test_pictures_need_two_runs_on_the_same_frames(runs, cache, tmp_path):
    done = plot(cache, f"--bp={runs / 'bp'}", f"--output={tmp_path / 'a.png'}")
    assert_one_line(done, "--sideways is missing")
    done = plot(cache, f"--bp={runs / 'bp'}", f"--sideways={runs / 'bp'}", "--output=a.png")
    assert_one_line(done, "was trained with --algorithm=bp")
    assert_one_line(plot(cache, f"--bp={runs / 'bp'}"), "--output and --animation are missing")


@pytest.mark.parametrize(("config", "data"), [("cater", "cater"), ("ucf", "ucf101")])
def test_real_layouts_go_through_their_flagfiles(config, data, real_data, cache, tmp_path):
    """Few steps; CATER at its full 240x240, cut from frames as they are stored."""
    small = ["--size=24"] if config == "ucf" else []
    done = train(
        cache, f"--flagfile=configs/{config}_autoencoder.cfg", f"--data_dir={real_data / data}",
        "--allow_missing_videos", *small, "--frames=11", "--batch_size=1", "--max_iterations=1",
        "--evaluate_every=0", f"--workdir={tmp_path / 'run'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["test_videos"] == {"cater": 1, "ucf": 108}[config]
    assert results["configuration"]["size"] == {"cater": 240, "ucf": 24}[config]
    assert 0 < results["test_floor"] < results["by_rule"]["bp"]["floor"]

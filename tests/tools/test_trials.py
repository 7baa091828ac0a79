"""tools/trials.py: every run that it names is a valid one, and bad names end in one line."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sideways_tf.data.synthetic import moving_shapes
from sideways_tf.data.video_files import VideoFile
from sideways_tf.runs.checks import check_flags
from sideways_tf.runs.from_flags import from_lines
from sideways_tf.runs.sweep.grid import combinations, configure, parse_axes

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("trials", ROOT / "tools" / "trials.py")
trials = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(trials)
SWEEPS = {f"{n}-{s}": flags for n, sweeps in trials.TRIALS.items() for s, flags in sweeps.items()}


@pytest.mark.parametrize("name", SWEEPS)
def test_every_run_is_one_that_train_takes(name, tmp_path):
    (tmp_path / "cater").mkdir()
    (tmp_path / "ucf101").mkdir()
    (tmp_path / trials.LONG_SHAPES).mkdir(parents=True)
    means = trials.FLAGS["means"].default
    flags = trials.expanded(SWEEPS[name], str(tmp_path), means, str(tmp_path))
    grid = [flag.removeprefix("--grid=") for flag in flags if flag.startswith("--grid=")]
    own = ("--grid=", "--seeds=", "--search_seeds=", "--compare=")
    base = from_lines([flag for flag in flags if not flag.startswith(own)])
    for setting in combinations(parse_axes(grid)):
        config = configure(base, setting)
        check_flags(config)
        config.check(config.modules or 6 + 2 * (config.model == "vgg8"))


def test_long_shapes_begin_like_the_embedded_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(moving_shapes, "NUM_TRAIN", 2)
    monkeypatch.setattr(moving_shapes, "NUM_TEST", 1)
    trials.draw_long_shapes(tmp_path / "drawn")
    files = sorted(path.relative_to(tmp_path / "drawn") for path in tmp_path.rglob("*.avi"))
    names = ["test/bar/000.avi", "train/bar/000.avi", "train/crescent/001.avi"]
    assert [file.as_posix() for file in files] == names
    frames = list(VideoFile(tmp_path / "drawn" / files[2]).frames())
    assert len(frames) == trials.LONG_FRAMES
    embedded = moving_shapes.draw_video("train/001", "crescent", 64)
    for shown, drawn in zip(frames, embedded, strict=False):
        # Grey levels: the codec takes up to 3.0, five frames of motion 5.6 or more.
        assert np.abs(shown.astype(int) - drawn).mean() < 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "'none' is no trial"),
        (["far"], "'far' is no trial"),
        (["real"], "give --data_dir"),
        (["strides", "--output_dir=README.md"], "--output_dir: README.md/strides"),
    ],
)
def test_bad_words_end_in_one_line(words, said):
    command = [sys.executable, "tools/trials.py", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1

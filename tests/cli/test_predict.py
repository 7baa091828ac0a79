"""`sideways predict` on a small drawn video, by a run that was trained for a moment."""

import csv
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.once

SIDEWAYS = "from sideways_tf import cli; cli.main()"
SMALL = [
    "--dataset=moving_shapes", "--resize=24", "--size=16", "--frames=12", "--batch_size=4",
    "--max_iterations=2", "--evaluate_every=0",
]  # fmt: skip


def sideways(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-c", SIDEWAYS, *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder, and the flags that find its data."""
    folder = tmp_path_factory.mktemp("predict")
    flags = [f"--workdir={folder / 'run'}", f"--cache_dir={folder / 'cache'}"]
    done = sideways("train", *SMALL, *flags)
    assert done.returncode == 0, done.stderr
    return flags


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "drawn.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (48, 32))
    for n in range(15):
        frame = np.zeros([32, 48, 3], np.uint8)
        frame[8:16, 2 * n : 2 * n + 8] = 255
        writer.write(frame)
    writer.release()
    return path


def test_the_top_five_a_table_and_a_video(run, video, tmp_path):
    done = sideways(
        "predict", *run, f"--csv={tmp_path / 'x.csv'}", f"--output={tmp_path / 'x.avi'}", video
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{video}: 15 frames"
    assert len(lines) == 6
    rows = list(csv.DictReader((tmp_path / "x.csv").open()))
    shares = [float(row["probability"]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1.00001
    assert [line.split()[1] for line in lines[1:]] == [row["class"] for row in rows]
    shown = cv2.VideoCapture(str(tmp_path / "x.avi"))
    assert (shown.get(cv2.CAP_PROP_FRAME_COUNT), shown.get(cv2.CAP_PROP_FPS)) == (15, 10)
    assert shown.get(cv2.CAP_PROP_FRAME_HEIGHT) == 32 + 16


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("--workdir is missing", ["x.avi"]),
        ("name one or more videos", ["--workdir=nowhere"]),
        ("none.avi is no file", ["--workdir=nowhere", "none.avi"]),
        ("is for one video, 2 are named", ["--workdir=nowhere", "--output=x.mp4", "a", "b"]),
    ],
)
def test_mistakes_are_answered_in_one_line(words, arguments, capsys):
    from sideways_tf.cli import predict
    from sideways_tf.cli.command import run as run_command

    predict.FLAGS.unparse_flags()
    with pytest.raises(SystemExit) as caught:
        run_command(predict.main, ["predict", *arguments])
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert words in said
    assert said.count("\n") == 1


def test_what_is_no_video(run, tmp_path):
    path = tmp_path / "words.mp4"
    path.write_text("words")
    done = sideways("predict", *run, path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(path) in done.stderr


def test_it_is_a_command():
    assert "predict" in sideways("--help").stdout
    assert pathlib.Path(__file__).exists()

"""`sideways stream` as a user runs it, on a small drawn video."""

import subprocess
import sys

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """30 frames of 40x32 pixels, a square that moves."""
    path = tmp_path_factory.mktemp("stream") / "square.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (40, 32))
    for n in range(30):
        frame = np.zeros([32, 40, 3], np.uint8)
        frame[8:16, n : n + 8] = 255
        writer.write(frame)
    writer.release()
    return path


def stream(*flags):
    arguments = [sys.executable, "-m", "sideways_tf.cli", "stream", *map(str, flags)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300)


def test_it_learns_from_every_frame_and_goes_on_where_it_stopped(video, tmp_path):
    flags = [f"--source={video}", "--size=16", f"--workdir={tmp_path / 'run'}"]
    first = stream(*flags, f"--output={tmp_path / 'live.avi'}")
    assert first.returncode == 0, first.stderr[-2000:]
    # Six modules: the first gradient comes after 11 steps.
    assert first.stdout.startswith("30 frames, 20 updates of module 1")
    second = stream(*flags)
    error = [float(done.stdout.split()[-1]) for done in (first, second)]
    assert error[1] < error[0]
    shown = cv2.VideoCapture(str(tmp_path / "live.avi"))
    assert shown.get(cv2.CAP_PROP_FRAME_WIDTH) == 32


def test_bp_is_blocked_and_the_same_seed_gives_the_same_numbers(video):
    flags = [f"--source={video}", "--size=16", "--algorithm=bp"]
    first, second = stream(*flags), stream(*flags)
    assert first.stdout.startswith("30 frames, 2 updates of module 1")
    assert first.stdout.split()[-1] == second.stdout.split()[-1]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "--source is missing"),
        (["--source=/nowhere.mp4"], "--source=/nowhere.mp4 is not there"),
        (["--source=.", "--size=20"], "--size=20"),
    ],
)
def test_bad_input_is_one_line(flags, said):
    done = stream(*flags)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

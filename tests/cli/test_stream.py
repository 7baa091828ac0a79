"""`sideways stream` as a user runs it, on a small drawn video."""

import importlib
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from sideways_tf.cli import stream as command_module
from sideways_tf.errors import UserError
from sideways_tf.runs import options


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


def stream(*flags, module=("sideways_tf.cli", "stream")):
    arguments = [sys.executable, "-m", *module, *map(str, flags)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300)


def test_it_learns_from_every_frame_and_goes_on_where_it_stopped(video, tmp_path):
    run = tmp_path / "run"
    flags = [f"--source={video}", "--size=16", "--pace=fast", f"--workdir={run}"]
    first = stream(*flags, f"--output={tmp_path / 'live.avi'}", "--show")
    assert first.returncode == 0, first.stderr[-2000:]
    # Six modules: outputs from step 6 on, the first gradient of module 1 after 11 steps.
    assert first.stdout.startswith("30 frames in, 0 dropped, 25 shown, 20 updates of module 1")
    assert len(first.stdout.splitlines()) == 1
    second = stream(*flags)
    # The pipe goes on: an output and an update at each step.
    assert second.stdout.startswith("60 frames in, 0 dropped, 55 shown, 50 updates of module 1")
    error = [float(done.stdout.split()[-1]) for done in (first, second)]
    assert error[1] < error[0]
    shown = cv2.VideoCapture(str(tmp_path / "live.avi"))
    assert shown.get(cv2.CAP_PROP_FRAME_WIDTH) == 3 * 16 + 2 * 2
    assert json.loads((run / "results.json").read_text())["frames"] == 60
    other = stream(*flags, "--algorithm=bp")
    assert other.returncode == 2
    assert "--algorithm was sideways, now is bp" in other.stderr
    assert len(other.stderr.strip().splitlines()) == 1


def test_a_file_at_real_pace(video):
    """25 frames a second: what is not taken is dropped, and it takes as long as it plays."""
    flags = [f"--source={video}", "--size=16", "--algorithm=bp"]
    done = stream(*flags, module=("sideways_tf.stream",))
    assert done.returncode == 0, done.stderr[-2000:]
    words = done.stdout.replace(",", "").split()
    assert words[:3] == ["30", "frames", "in"]
    taken = int(words[7])  # updates: BP by the clock makes one for each frame it takes
    assert 0 < taken == 30 - int(words[3])
    # The first frame, which traces, is counted and not timed; 0.05 is half of the last digit.
    assert float(words[words.index("frames/s") - 1]) <= 25 * 30 / 29 + 0.05


def test_a_source_that_is_not_there_is_one_line():
    done = stream("--source=/nowhere.mp4")
    assert done.returncode == 2
    assert "--source=/nowhere.mp4 is not there" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--size=20"], "--size=20"),
        (["--task=predict", "--pace=fast", "--algorithm=bp"], "--pace=fast"),
        (["--task=classify"], "--labels"),
        (["--horizon=2"], "--horizon=2 is of --task=predict"),
        (["--model=/nowhere.keras"], "--model=/nowhere.keras is not there"),
    ],
)
def test_flags_that_do_not_go_together(flags, said):
    command = importlib.reload(command_module)  # Flags keep what they were given.
    options.parse(command.FLAGS, ["stream", *flags])
    with pytest.raises(UserError, match=said):
        command.check()

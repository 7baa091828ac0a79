"""The data tools from their command lines: what they print, and how they fail."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data.conftest import write_video

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]


def _run(tool: str, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"tools/{tool}.py", *flags]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


def _error(run: subprocess.CompletedProcess[str]) -> str:
    (line,) = (line for line in run.stderr.splitlines() if line.startswith("error: "))
    return line


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for number in range(8):
        write_video(root / f"{'cat' if number % 2 else 'dog'}/{number}.avi", number, 10)
    (root / "cat/broken.avi").write_bytes(b"")
    return root


def test_prepare_reports_and_can_be_read_back(videos: Path, tmp_path: Path) -> None:
    for number in range(8, 30):
        write_video(videos / f"cat/{number}.avi", 1, 10)
    flags = [
        "--dataset=folder",
        f"--source_dir={videos}",
        f"--data_dir={tmp_path}",
        "--resize=16",
    ]
    run = _run("prepare_dataset", *flags)
    assert run.returncode == 0, run.stderr
    figures = dict(re.findall(r"^  (\w+(?: out)?) +(\S+)", run.stdout, re.MULTILINE))
    assert figures["videos"] == "30"
    assert figures["classes"] == "2"
    assert figures["frames"] == "300"
    assert figures["left out"] == "1"
    assert "cat/broken.avi: the file is empty" in run.stdout
    again = _run("prepare_dataset", *flags)
    assert again.returncode == 2
    assert "folder/split1_16 is there already" in _error(again)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--dataset=: no such data set"),
        (["--dataset=ucf101"], "--data_dir is not given"),
        (["--dataset=ucf101", "--data_dir=out"], "--dataset=ucf101 needs --source_dir=DIR"),
        (
            ["--dataset=ucf101", "--data_dir=out", "--source_dir=/no/such"],
            "--source_dir=/no/such: no such folder",
        ),
        (["--dataset=ucf101", "--data_dir=out", "--workers=-1"], "--workers=-1"),
    ],
)
def test_prepare_refuses_in_one_line(flags: list[str], message: str) -> None:
    run = _run("prepare_dataset", *flags)
    assert run.returncode == 2
    assert message in _error(run)
    assert "Traceback" not in run.stderr
    assert not (ROOT / "out").exists()


def test_inspect_draws_what_training_sees(tmp_path: Path) -> None:
    output = tmp_path / "clips.png"
    run = _run(
        "inspect_clips",
        f"--output={output}",
        f"--cache_dir={tmp_path}",
        "--frames=10",
        "--size=16",
        "--resize=16",
        "--batch_size=3",
        "--columns=4",
    )
    assert run.returncode == 0, run.stderr
    assert "3 clips, frames 1, 4, 7, 10" in run.stdout
    sheet = cv2.imread(str(output))
    assert sheet.shape == (3 * (16 + 16), 4 * 16, 3)
    assert np.ptp(sheet[16:32]) > 50  # a shape on its background
    run = _run("inspect_clips", f"--output={tmp_path}/no/clips.png")
    assert run.returncode == 2
    assert "--output=" in _error(run)


def test_benchmark_measures_every_way(tmp_path: Path) -> None:
    flags = [f"--cache_dir={tmp_path}", "--frames=12", "--size=16", "--resize=16", "--rounds=1"]
    run = _run("benchmark_input", *flags, "--batches=2", "--iterations=2")
    assert run.returncode == 0, run.stderr
    speeds = [float(x) for x in re.findall(r"([\d.]+) clips/s", run.stdout)]
    assert len(speeds) == 3
    assert min(speeds) > 0
    waiting = re.search(r"waiting for data in training +([\d.]+) %", run.stdout)
    assert waiting is not None
    assert 0 <= float(waiting[1]) <= 100
    run = _run("benchmark_input", *flags, "--batches=41")
    assert run.returncode == 2
    assert "--batches=41: moving_shapes has 320" in _error(run)

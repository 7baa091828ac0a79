"""tools/plot_dynamics.py, plot_stride.py and make_tables.py --table=1 from their command lines."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sideways_tf.runs.config import Config
from tests.report.made_runs import make_run

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]


def run(tool, *flags):
    return subprocess.run(
        [sys.executable, f"tools/{tool}.py", *map(str, flags)],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two finished runs, a living one whose last event is cut off, a damaged one."""
    root = tmp_path_factory.mktemp("runs")
    base = Config(dataset="ucf101", size=56, stride=2)
    make_run(root / "bp", dataclasses.replace(base, algorithm="bp"), diagnosed=True)
    make_run(root / "sideways", base, diagnosed=True)
    living = make_run(root / "living", dataclasses.replace(base, seed=1), finished=False)
    file = next((living / "train").glob("events*"))
    file.write_bytes(file.read_bytes()[:-7])
    (make_run(root / "damaged", base) / "results.json").write_text("{")
    return root


def check_pictures(folder, names):
    for name in names:
        picture = cv2.imread(str(folder / f"{name}.png"))
        assert min(picture.shape[:2]) > 200
        assert np.ptp(picture) == 255, "ink on paper"
        assert (folder / f"{name}.svg").read_text().lstrip().startswith("<?xml")
    assert sorted(p.stem for p in folder.glob("*.png")) == sorted(names)


def test_dynamics(runs, tmp_path):
    flags = [f"--output_dir={tmp_path / 'out'}", f"--tensorboard={tmp_path / 'compare'}"]
    done = run("plot_dynamics", runs, *flags)
    assert done.returncode == 0, done.stderr
    check_pictures(tmp_path / "out", ["figure4", "figure5", "agreement"])
    remarks = done.stderr.splitlines()
    assert len(remarks) == 2, done.stderr
    assert remarks[0].startswith(f"{runs / 'damaged'}: damaged")
    assert remarks[1] == f"{runs / 'living'}: unfinished, shown up to iteration 8"
    (layout,) = (tmp_path / "compare").rglob("events*.card")
    assert len(list(layout.parent.glob("events*"))) > 1, "no run holds a layout alone"


def test_stride(runs, tmp_path):
    done = run("plot_stride", runs, f"--output_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    check_pictures(tmp_path, ["figure6"])
    assert len(done.stderr.splitlines()) == 2
    assert "| Sideways      | 0.0001        | 50.0 (1 run)  |" in done.stdout


def test_table_1(runs, tmp_path):
    csv = tmp_path / "table1.csv"
    done = run("make_tables", "--table=1", f"--results_dir={runs}", f"--csv={csv}")
    assert done.returncode == 0, done.stderr
    assert "| 40.7      | 42.16           | not run" in done.stdout
    assert "50.0 (1 run)" in done.stdout
    assert "ucf101,simple_cnn,40.7,42.16,not run,not run" in csv.read_text()
    remarks = done.stderr.splitlines()
    assert len(remarks) == 2, done.stderr
    assert "damaged/results.json is damaged" in remarks[0]
    assert remarks[1] == f"{runs / 'living'}: not finished, left out"


@pytest.mark.parametrize(
    ("tool", "words", "message"),
    [
        ("plot_dynamics", [], "name folders of runs"),
        ("plot_dynamics", ["--point=3"], "point"),
        ("plot_stride", ["/none"], "/none: no run there"),
    ],
)
def test_nothing_to_draw_ends_in_one_line(tool, words, message, tmp_path):
    done = run(tool, *words, f"--output_dir={tmp_path / 'out'}")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert not (tmp_path / "out").exists()

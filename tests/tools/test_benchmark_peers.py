"""Rivals beside Sideways: who takes part, that they have to compute the same, a small run."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sideways_tf.bench import peers
from sideways_tf.errors import UserError

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "benchmark_peers.py"
SMALL = ("--frames=11", "--size=16", "--classes=3", "--turns=1")


def benchmark(*flags):
    return subprocess.run(
        [sys.executable, TOOL, *SMALL, *flags],
        capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )  # fmt: skip


def rival(name, *losses):
    return SimpleNamespace(peer=SimpleNamespace(name=name), answer={"losses": losses})


def test_rivals_have_to_compute_the_same():
    alike = [rival("BP, batched", 1.0, 0.5), rival("torch gpipe", 1.0, 0.50009)]
    peers.check_losses([*alike, rival("Sideways, pipelined", 1.2, 0.8)])
    with pytest.raises(UserError, match="torch gpipe and BP, batched do not compute the same"):
        peers.check_losses([alike[0], rival("torch gpipe", 1.0, 0.502)])
    failed = SimpleNamespace(peer=SimpleNamespace(name="torch zbv"), answer={"error": "gone"})
    peers.check_losses([*alike, failed])


@pytest.mark.once
def test_a_run_of_two_engines(tmp_path):
    names = (
        "--rivals=Sideways, pipelined;Sideways, pipelined, one device;BP, batched, plain Keras;"
        "BP, batched;data-parallel BP, batched"
    )
    done = benchmark(names, "--batch_size=1", f"--output_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "peers.json").read_text())
    assert [len(each["seconds"]) for each in kept] == [1] * 4
    assert "a batch of 1 cannot be shared out evenly" in done.stdout
    assert (tmp_path / "peers.md").read_text().strip() in done.stdout


def test_wrong_rivals_are_one_line(tmp_path):
    cases = [("--rivals=ours;x", "'ours' is none of Sideways, pipelined; ")]
    if importlib.util.find_spec("torch") is None:
        cases.append(("--rivals=torch gpipe", "`pip install torch==2.13.0` beside this package"))
    for flag, words in cases:
        done = benchmark(flag, f"--output_dir={tmp_path}")
        assert done.returncode == 2
        (line,) = done.stderr.strip().splitlines()
        assert line.startswith("error: ")
        assert words in line

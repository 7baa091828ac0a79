"""Memory by device, by hand; and the command that plans before anything is paid for."""

import json
import os
import subprocess
import sys

import pytest

from sideways_tf.plan.memory import Memory, Size, by_device

# Weights, input, output, all activations.
SIZES = [Size(10, 100, 60, 80), Size(40, 60, 20, 20)]
WHOLE = [((0, 4),), ((1, 4),)]
WIDE = [((0, 4),), ((0, 1), (1, 3))]


def test_memory_by_hand():
    # Two moments of Adam. The clip of 5 frames lies with module 1.
    assert by_device("bp", SIZES, WHOLE, 2, frames=5, moments=2) == [
        Memory(10, 20, 20, 80, 2 * 60 + 500),
        Memory(40, 80, 80, 20, 2 * (20 + 60)),
    ]
    assert by_device("gpipe", SIZES, WHOLE, 2, frames=5, moments=0) == [
        Memory(10, 0, 20, 80, 60 + 500),
        Memory(40, 0, 80, 20, 5 * (60 + 20) + 80),
    ]
    # Four steps in flight; module 2 is joined on device 1, which has three of its four channels.
    assert by_device("sideways", SIZES, WIDE, 2, frames=5, moments=1) == [
        Memory(10 + 20, 10, 20, 4 * (80 + 5), 2 * 60 + 500),
        Memory(40 + 60, 40, 80, 4 * (20 + 15), 2 * (20 + 60)),
    ]
    # Half of the clips on each device, the whole network twice.
    assert (
        by_device("data-parallel", SIZES, WHOLE, 2, frames=5, moments=2)
        == [Memory(50, 100, 50, 5 * 100 // 2, 250)] * 2
    )


def plan(*flags):
    command = [sys.executable, "-m", "sideways_tf.cli", "bench", "plan", *flags]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_plan_for_many_machines(tmp_path):
    flags = ["--model=simple_cnn", "--devices=64", "--machines=8", "--size=32", "--batch_size=64"]
    done = plan(*flags, "--network_gbps=100", "--json", f"--picture={tmp_path / 'pipe.png'}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["device_seconds"]) == len(found["received_bytes"]) == 64
    assert max(found["device_seconds"]) < sum(found["device_seconds"]) / 4  # Whole: 3.55.
    assert found["seconds"]["sideways"] < found["seconds"]["sideways, whole modules"]
    assert found["seconds"]["data-parallel"] is not None
    assert (tmp_path / "pipe.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--machines=3", "--devices=8 cannot be spread over them evenly"),
        ("--model=nothing.keras", "nor a file of a Keras 2 model"),
    ],
)
def test_wrong_flags_are_one_line(flag, words):
    done = plan(flag)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr

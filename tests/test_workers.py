"""Modules on remote TensorFlow servers give, bit for bit, the weights of a local run."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.test_train import ROOT, SMALL, cache, command, train, weights  # noqa: F401

FEW = [flag for flag in SMALL if not flag.startswith(("--max_iterations", "--checkpoint_every"))]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def two_workers():
    """Yields their addresses and processes."""
    addresses = ",".join(f"127.0.0.1:{free_port()}" for _ in range(2))
    arguments = [sys.executable, "-m", "sideways_tf.worker", f"--workers={addresses}"]
    processes = [
        subprocess.Popen([*arguments, f"--index={i}"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    try:
        for process in processes:
            assert "lending devices" in process.stdout.readline()
        yield addresses, processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize("every", [0, 1])
def test_remote_equals_local(cache, tmp_path, every):  # noqa: F811
    few = [*FEW, "--max_iterations=6", f"--update_every={every}"]
    with two_workers() as (addresses, _):
        remote = train(cache, *few, f"--workers={addresses}", f"--workdir={tmp_path / 'remote'}")
    assert remote.returncode == 0, remote.stderr[-2000:]
    devices = json.loads((tmp_path / "remote" / "results.json").read_text())["devices"]
    assert [name.split("/")[3] for name in devices] == ["task:0"] * 3 + ["task:1"] * 3
    local = train(cache, *few, "--engine=pipelined", f"--workdir={tmp_path / 'local'}")
    assert local.returncode == 0, local.stderr[-2000:]
    left, right = weights(tmp_path / "remote"), weights(tmp_path / "local")
    assert sorted(left) == sorted(right)
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@pytest.mark.once  # A minute each: a worker has its time to answer.
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "frozen"])
def test_a_lost_worker_ends_the_run_in_one_line_that_names_it(cache, tmp_path, how):  # noqa: F811
    workdir = tmp_path / "run"
    flags = [*FEW, "--max_iterations=100000", "--checkpoint_every=3", f"--workdir={workdir}"]
    with two_workers() as (addresses, processes):
        run = subprocess.Popen(
            command("train", cache, *flags, f"--workers={addresses}"),
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while not (workdir / "checkpoints" / "ckpt-6.index").exists():
            assert run.poll() is None, run.stderr.read()[-2000:]
            time.sleep(0.1)
        processes[1].send_signal(how)
        _, stderr = run.communicate(timeout=300)
    assert run.returncode == 2
    (line,) = [line for line in stderr.splitlines() if "error" in line]
    assert f"error: the worker at {addresses.split(',')[1]} does not answer" in line
    assert "Traceback" not in stderr
    # What was saved is whole; the one that was being saved is not there.
    (path, *_) = sorted((workdir / "checkpoints").glob("ckpt-*.index"))
    reader = tf.train.load_checkpoint(str(path.with_suffix("")))
    for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)


@pytest.mark.once
def test_a_frozen_worker_ends_the_benchmark_in_one_line_that_names_it(tmp_path):
    flags = ["--models=simple_cnn", "--size=32", "--frames=11", "--batch_size=1", "--steps=1"]
    output = tmp_path / "speed"
    with two_workers() as (addresses, processes):
        processes[1].send_signal(signal.SIGSTOP)
        done = subprocess.run(
            [sys.executable, "tools/benchmark_speed.py", f"--devices=workers:{addresses}", *flags,
             f"--output_dir={output}"],
            cwd=ROOT, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert f"error: the worker at {addresses.split(',')[1]} does not answer" in line
    assert not list(output.iterdir())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [(["--workers=127.0.0.1:1", "--index=1"], "--index=1"), ([], "--index=0: --workers names 0")],
)
def test_bad_flags_of_a_worker(flags, expected):
    arguments = [sys.executable, "-m", "sideways_tf.worker", *flags]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

"""Simple-CNN trained by an engine of this package, or data-parallel: a rival of `peers.py`."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from sideways_tf.bench.data_parallel import DataParallel
from sideways_tf.bench.job import Job
from sideways_tf.bench.measure import make_modules, start_tensorflow, training_step
from sideways_tf.bench.peer import RATE, Peer, serve
from sideways_tf.bench.plain_keras import PlainKeras
from sideways_tf.bench.timeline import Timeline
from sideways_tf.engines import make_engine
from sideways_tf.networks import simple_cnn
from sideways_tf.runs import child

# name -> (algorithm, engine, devices).
OURS = {
    "Sideways, pipelined": ("sideways", "pipelined", 2),
    "Sideways, time-shifted": ("sideways", "time_shifted", 1),
    "BP, batched": ("bp", "batched", 1),
    "BP, frame by frame": ("bp", "frame_by_frame", 1),
    "BP, frame by frame, 2 devices": ("bp", "frame_by_frame", 2),
    "exact pipelined BP (GPipe)": ("bp", "gpipe", 2),
    "Sideways, two workers": ("sideways", "pipelined", 2),
    "BP, frame by frame, two workers": ("bp", "frame_by_frame", 2),
    "BP, batched, plain Keras": ("bp", "keras", 1),
    "Sideways, pipelined, one device": ("sideways", "pipelined", 1),
    "data-parallel BP, batched": ("bp", "mirrored", 2),
    "data-parallel BP, frame by frame": ("bp", "mirrored_frames", 2),
}


def make_optimizer() -> tf.keras.optimizers.legacy.Optimizer:
    """Plain SGD, the same in all frameworks."""
    return tf.keras.optimizers.legacy.SGD(RATE)


def start_workers() -> str:
    """Two, of one thread each, on this machine; they end with this process's session."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(2):
            free = stack.enter_context(socket.socket())
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    addresses = ",".join(f"127.0.0.1:{port}" for port in ports)
    for index in range(2):
        flags = [f"--workers={addresses}", f"--index={index}", "--threads=1"]
        worker = subprocess.Popen(
            **child.command("sideways_tf.worker", flags), stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        worker.stdout.readline()  # It is up.
    return addresses


def make_step(peer: Peer) -> Callable[[], float]:
    """A training step from the weights that all start from."""
    algorithm, engine, devices = OURS[peer.name]
    # One device has all threads of a kernel; two have one each.
    threads = peer.threads if devices == 1 else 1
    placement = (0,) * 6 if devices == 1 else (0, 0, 0, 1, 1, 1)
    workers = start_workers() if peer.name.endswith("workers") else ""
    kind = "workers" if workers else "cpu"
    job = Job(
        "simple_cnn", algorithm, engine, kind, devices, placement, peer.batch, peer.frames,
        peer.size, peer.classes, 0.0, 1, 1, threads, workers=workers,
    )  # fmt: skip
    names = start_tensorflow(job)
    clip, labels = (tf.constant(each) for each in peer.data())
    labels = tf.cast(labels, tf.int32)
    if engine.startswith("mirrored"):
        parallel = DataParallel(
            lambda: simple_cnn(peer.classes), make_optimizer, names, engine == "mirrored"
        )
        with parallel.strategy.scope():
            parallel.model.build([None, *clip.shape[2:]])
        parallel.model.set_weights(peer.weights())
        return lambda: float(parallel(clip, labels))
    if engine == "keras":
        keras = PlainKeras(simple_cnn(peer.classes), make_optimizer())
        keras.model.build([None, *clip.shape[2:]])
        keras.model.set_weights(peer.weights())
        return lambda: float(keras(clip, labels))
    modules = make_modules(job, names, Timeline(), probed=False)
    made = make_engine(algorithm, modules, tf.nn.sparse_softmax_cross_entropy_with_logits, engine)
    made.build(tf.TensorSpec(clip.shape[1:], clip.dtype))
    weights = iter(peer.weights())
    for module in modules:
        module.layer.set_weights([next(weights) for _ in module.layer.weights])
    step = training_step(made, make_optimizer)
    return lambda: float(step(clip, labels))


if __name__ == "__main__":
    serve(lambda: make_step(Peer.from_json(sys.argv[1])))

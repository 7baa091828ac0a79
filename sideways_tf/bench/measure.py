"""Measure one row of the table: a job in on stdin, its row out on stdout, as JSON.

Run by tools/benchmark_speed.py, in a fresh process for each row: devices and threads are fixed once
TensorFlow has started, and the peak memory of a process never falls.
"""

from __future__ import annotations

import time

START = time.perf_counter()

import contextlib  # noqa: E402, the first step is timed from here on
import dataclasses  # noqa: E402
import itertools  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf  # noqa: E402

from sideways_tf import progress  # noqa: E402
from sideways_tf.bench.data_parallel import DataParallel  # noqa: E402
from sideways_tf.bench.figure import write_timeline  # noqa: E402
from sideways_tf.bench.job import Job  # noqa: E402
from sideways_tf.bench.plain_keras import PlainKeras  # noqa: E402
from sideways_tf.bench.probe import ProbedLayer  # noqa: E402
from sideways_tf.bench.simulated import allow_sleepers, simulated_slices  # noqa: E402
from sideways_tf.bench.timeline import Timeline, busy_shares  # noqa: E402
from sideways_tf.engines import Engine, LossScale, make_engine, per_frame  # noqa: E402
from sideways_tf.errors import UserError  # noqa: E402
from sideways_tf.modules import SidewaysBlock  # noqa: E402
from sideways_tf.networks import simple_cnn, vgg8  # noqa: E402
from sideways_tf.optimizers import ModuleOptimizers  # noqa: E402
from sideways_tf.plan import devices as placement  # noqa: E402
from sideways_tf.plan.costs import costs  # noqa: E402
from sideways_tf.plan.times import ModuleTime, measure  # noqa: E402
from sideways_tf.runs.make import layers_in  # noqa: E402
from sideways_tf.runs.workers import watched  # noqa: E402

LEARNING_RATE = 1e-4
# What a simulated module passes on, [B, WIDTH]: its size costs nothing and says nothing, but that
# it can be cut.
WIDTH = 256


def resolved(job: Job) -> Job:
    """With "auto" as GPUs, else CPUs; and cpu devices, where not counted, as many as cores."""
    if job.device_kind == "auto":
        gpus = tf.config.list_physical_devices("GPU")
        job = dataclasses.replace(job, device_kind="gpu" if gpus else "cpu")
    if job.device_kind == "cpu" and not job.devices:
        job = dataclasses.replace(job, devices=os.cpu_count() or 1)
    return job


def start_tensorflow(job: Job) -> list[str]:
    """Set threads and devices; the names of the job's devices."""
    job = resolved(job)
    if job.device_kind == "gpu":
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        found = placement.find_devices("gpu")
        if job.devices > len(found):
            raise UserError(
                f"--devices=gpu:{job.devices}: this machine has {len(found)} GPUs; ask for fewer, "
                "or for gpu alone, which takes all"
            )
        return found[: job.devices or None]
    if job.device_kind == "simulated":
        allow_sleepers(sum(map(len, job.times)))
    elif job.threads:
        tf.config.threading.set_intra_op_parallelism_threads(job.threads)
        # A module that is measured alone must not lend itself the other devices' threads.
        at_once = 1 if job.algorithm == "profile" else job.devices
        tf.config.threading.set_inter_op_parallelism_threads(at_once)
    if job.device_kind == "workers":
        placement.connect_workers(job.workers)
        return placement.find_devices("auto")[: job.devices]
    placement.split_cpu(job.devices)
    return placement.find_devices(",".join(f"CPU:{n}" for n in range(job.devices)))


def layers_of(job: Job) -> list[tf.keras.layers.Layer]:
    """The model's layers, unbuilt."""
    with layers_in(job.precision):
        if job.model == "vgg8":
            return vgg8(job.classes, job.dropout)
        return simple_cnn(job.classes)


def frame_spec(job: Job) -> tf.TensorSpec:
    """A batch of frames, [B, ...]."""
    shape = [WIDTH] if job.device_kind == "simulated" else [job.size, job.size, 3]
    return tf.TensorSpec([job.batch, *shape], tf.float32)


def profile(job: Job) -> dict[str, Any]:
    """Each module alone on the first device: seconds, operations, bytes."""
    names = start_tensorflow(job)
    frame = tf.TensorSpec([job.batch, job.size, job.size, 3], tf.float32)
    counted = costs(layers_of(job), frame)
    # Only operations are needed of a simulated accelerator.
    if job.device_kind == "simulated":
        times = [ModuleTime(0.0, 0.0)] * len(counted)
    else:
        times = measure(layers_of(job), frame, names[0], job.repeats)
    return {
        "device_kind": resolved(job).device_kind,
        "devices": len(names),
        "modules": [
            {
                "name": layer.name,
                "forward_seconds": seconds.forward,
                "backward_seconds": seconds.backward,
                "forward_flops": cost.forward,
                "backward_flops": cost.backward,
                "parameter_bytes": cost.parameter_bytes,
                "units": cost.units,
                "whole": cost.whole,
                "in_bytes": cost.in_bytes,
                "out_bytes": cost.out_bytes,
            }
            for layer, seconds, cost in zip(layers_of(job), times, counted, strict=True)
        ],
    }


def make_modules(job: Job, names: list[str], timeline: Timeline, probed: bool) -> list:
    """The job's modules on their devices; `probed` ones note when they run."""
    if job.device_kind == "simulated":
        return simulated_slices(simulated_shares(job), names, timeline)
    layers = layers_of(job)
    if probed:
        layers = [
            ProbedLayer(layer, i, job.placement[i - 1], timeline)
            for i, layer in enumerate(layers, 1)
        ]
    slices = [[(names[n], units) for n, units in each] for each in job.shares] or [[]] * len(layers)
    return [
        SidewaysBlock(layer, names[n], each)
        for layer, n, each in zip(layers, job.placement, slices, strict=True)
    ]


def simulated_shares(job: Job) -> list[list[tuple[int, int, ModuleTime]]]:
    """Accelerator, channels out of WIDTH, and seconds of each slice of each module."""
    placed = job.shares or [((n, 1),) for n in job.placement]
    modules = []
    for slices, times in zip(placed, job.times, strict=True):
        total = sum(units for _, units in slices)
        ends = [WIDTH * n // total for n in itertools.accumulate(units for _, units in slices)]
        counts = [end - start for start, end in zip([0, *ends], ends, strict=False)]
        devices = [n for n, _ in slices]
        pairs = (ModuleTime(*pair) for pair in times)
        modules.append(list(zip(devices, counts, pairs, strict=True)))
    return modules


def make_optimizer() -> tf.keras.optimizers.legacy.Optimizer:
    """Adam, the same in every row."""
    return tf.keras.optimizers.legacy.Adam(LEARNING_RATE)


def make_step(
    job: Job, names: list[str], timeline: Timeline, probed: bool = False
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """A training step: (clip, labels) -> loss."""
    if job.engine == "keras":
        with tf.device(names[0]):
            return PlainKeras(layers_of(job), make_optimizer())
    if job.engine.startswith("mirrored"):
        at_once = job.engine == "mirrored"
        return DataParallel(lambda: layers_of(job), make_optimizer, names, at_once)
    engine = make_engine(
        job.algorithm,
        make_modules(job, names, timeline, probed),
        tf.nn.sparse_softmax_cross_entropy_with_logits,
        job.engine,
        loss_scale=LossScale() if job.precision == "mixed_float16" else None,
    )
    engine.check_frames(job.frames)
    engine.build(frame_spec(job))
    if job.jit:
        engine.compile_whole()
    return training_step(engine)


def training_step(
    engine: Engine, make: Callable[[], tf.keras.optimizers.Optimizer] = make_optimizer
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """(clip [K, B, ...], labels [B]) -> loss: an episode, and each module's update."""
    optimizers = ModuleOptimizers(make, lambda: tf.constant(0))
    optimizers.make(engine.modules)

    @tf.function(autograph=False)
    def step(clip: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        episode = engine(clip, per_frame(labels, clip.shape[0]), tf.constant([0, 0]))
        scale, good = engine.network.loss_scale, None
        if scale is not None:
            good, _ = scale.judge(episode.pseudo_gradients)
        for i, module in enumerate(engine.modules):

            def update(i: int = i, module: SidewaysBlock = module) -> tf.Tensor:
                found = episode.pseudo_gradients[i]
                optimizers.apply(i, found, module.trainable_variables)
                return tf.constant(True)

            with tf.device(module.device):
                if good is None:
                    update()
                else:
                    tf.cond(good, update, lambda: tf.constant(False))
        return episode.loss

    return step


def row(job: Job) -> dict[str, Any]:
    """The measured row of the table."""
    names, timeline = start_tensorflow(job), Timeline()
    step = make_step(job, names, timeline)
    # The raw kernel writes the clip once; tf.random.uniform would hold it twice.
    clip = tf.raw_ops.RandomUniform(shape=[job.frames, *frame_spec(job).shape], dtype=tf.float32)
    classes = WIDTH if job.device_kind == "simulated" else job.classes
    labels = tf.random.uniform([job.batch], maxval=classes, dtype=tf.int32)
    ready = time.perf_counter()
    traced = None
    if hasattr(step, "get_concrete_function"):
        step.get_concrete_function(clip, labels)
        traced = time.perf_counter() - ready
    float(step(clip, labels))
    first = time.perf_counter() - START
    timeline.take()
    seconds, core_seconds = best_average(lambda: float(step(clip, labels)), job)
    events = timeline.take()
    peaks = peak_memory(job, names)
    clip_bytes = clip.dtype.size * clip.shape.num_elements()
    found = {
        "steps_per_second": 1 / seconds,
        "core_seconds_per_step": core_seconds,
        "first_step_seconds": first,
        "trace_seconds": traced,
        "peak_memory_bytes": max(peaks) if peaks else None,
        "device_peak_memory_bytes": peaks,
        "clip_bytes": clip_bytes,
        "busy_share": last_step_shares(events, job) if events else None,
    }
    if job.trace:
        if job.device_kind != "simulated":
            step = make_step(job, names, timeline, probed=True)
        for _ in range(2):  # The first one traces.
            timeline.take()
            float(step(clip, labels))
        write_timeline(timeline.take(), job, Path(job.trace))
    return found


def last_step_shares(events: list, job: Job) -> list[float]:
    """Busy share of each device in the last of the timed steps."""
    return busy_shares(events[-(len(events) // (job.steps * job.repeats)) :], job.devices)


def best_average(run: Callable[[], float], job: Job) -> tuple[float, float]:
    """Seconds of one step, by the clock and of processor cores: best mean of `repeats`, each by
    itself. Cores count only this process, so that other work on the machine disturbs them less.
    """
    means, core_means = [], []
    with progress.bar(job.name, job.steps * job.repeats, " steps") as shown:
        for _ in range(job.repeats):
            start, core_start = time.perf_counter(), time.process_time()
            for _ in range(job.steps):
                run()
                shown.update()
            means.append((time.perf_counter() - start) / job.steps)
            core_means.append((time.process_time() - core_start) / job.steps)
    return min(means), min(core_means)


def peak_memory(job: Job, names: list[str]) -> list[int]:
    """Bytes: of each GPU; of this process on CPUs; none of simulated accelerators, which hold
    nothing."""
    if job.device_kind == "gpu":
        return [tf.config.experimental.get_memory_info(name)["peak"] for name in names]
    if job.device_kind in ("simulated", "workers"):
        return []
    # ru_maxrss would count what the parent process held before this one was started.
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    kilobytes = int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return [kilobytes * 1024]


def main() -> int:
    """One job from stdin; on stdout its result, or {"error": ...}."""
    job, out = Job.from_json(sys.stdin.read()), sys.stdout

    def tell(words: str) -> int:
        print(json.dumps({"error": words}), file=out, flush=True)
        return 0

    with contextlib.redirect_stdout(sys.stderr):
        try:
            with watched(job.workers, "giving this command again", tell):
                result = profile(job) if job.algorithm == "profile" else row(job)
        except UserError as error:
            result = {"error": str(error)}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())

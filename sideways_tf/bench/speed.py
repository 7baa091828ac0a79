"""Measure Table 2 of the paper on this machine: BP and Sideways, by number of devices.

    sideways bench speed                                  all GPUs, else CPUs
    sideways bench speed --devices=simulated:8            accelerators of given times
    sideways bench speed --devices=cpu:2 --steps=2 --size=64 --frames=32     minutes

Prints the table beside the paper's, and writes table2.json and table2.md into --output_dir. Each
row is measured in a process of its own. Started again with the same flags after a stop, it goes on.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sideways_tf import cli
from sideways_tf.bench.job import Job
from sideways_tf.errors import UserError
from sideways_tf.machine import machine_today
from sideways_tf.runs import child, options
from sideways_tf.whole_file import write_whole

if TYPE_CHECKING:
    from sideways_tf.bench.rows import Row

FLAGS, define = options.new_flags()
# fmt: off
define("models", ["simple_cnn", "vgg8"], "what: networks")
define("devices", "auto",
       "what: gpu (all), gpu:N, cpu:N (logical CPUs), simulated:N, workers:HOST:PORT,HOST:PORT "
       "(`sideways worker`; frames come from here, as in training); auto: all GPUs, else all cores")
define("placement", "balanced", "what: balanced, one_per_module, or a device number for each "
       "module, comma-separated, from 0")
define("widen", False, "what: on the most devices, rows whose modules are shared out by output "
       "channels, beside those of whole modules")
define("jit", False, "what: on one device, batched engines that XLA compiles beside the others")
define("precisions", [], "what: beside float32, Sideways in mixed_bfloat16, mixed_float16")
define("link_gbps", 0.0, "simulated accelerators: speed of each one's link in Gbit/s, over which "
       "what others send it arrives; 0: sending costs nothing", low=0)
define("times", "flops", "simulated accelerators: module times are equal, from flops, measured "
       "(here, on one CPU thread), or from the table2.json of a real measurement")
define("step_ms", 20.0, "simulated accelerators: the largest module's forward and backward time, "
       "in milliseconds", low=0.1)
define("batch_size", 8, "clips: B", low=1)
define("frames", 64, "clips: K", low=1)
define("size", 112, "clips: height and width in pixels", low=32)
define("classes", 101, "clips: classes", low=2)
define("dropout", 0.0, "clips: rate in VGG-8's hidden linear modules", low=0, high=0.99)
define("steps", 0, "measuring: training steps in an average; 0: 100, and 1 on simulated "
       "accelerators, whose times are given", low=0)
define("repeats", 0, "measuring: averages, the best counts; 0: 3, and 1 on simulated accelerators",
       low=0)
define("threads", 1,
       "measuring: threads of one kernel on cpu devices; 0 is as TensorFlow likes", low=0)
define("memory_frames", ["64", "256"], "measuring: clip lengths to compare memory; empty is none")
define("trace", "", "output: folder for timelines (Chrome trace and PNG)")
define("output_dir", "speed", "output: folder of table2.json and table2.md")
# fmt: on


def main() -> int:
    """Measure, print, write."""
    from sideways_tf.bench.rows import add_speedups
    from sideways_tf.bench.table import MODEL_WORDS, markdown

    unknown = [name for name in FLAGS.models if name not in MODEL_WORDS]
    if unknown or not FLAGS.models:
        raise UserError(f"--models={','.join(FLAGS.models)}: choose from {', '.join(MODEL_WORDS)}")
    short = ("mixed_bfloat16", "mixed_float16")
    if not set(FLAGS.precisions) <= set(short):
        raise UserError(
            f"--precisions={','.join(FLAGS.precisions)}: choose from {', '.join(short)}; float32 "
            "is always there"
        )
    folder = Path(FLAGS.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(folder / "measured.jsonl")
    rows = [row for model in FLAGS.models for row in measure_model(model, results)]
    add_speedups(rows)
    page = markdown(rows, times_words(), cli.typed(), machine_today())
    write_whole(folder / "table2.json", json.dumps(rows, indent=1) + "\n")
    write_whole(folder / "table2.md", page)
    results.path.unlink(missing_ok=True)
    print(page)
    return 0


def measure_model(model: str, results: Results) -> list[Row]:
    """All rows of one model."""
    from sideways_tf.bench import plan
    from sideways_tf.bench.rows import make_row

    kind, count = plan.parse_devices(FLAGS.devices)
    if kind == "simulated" and not count:
        raise UserError("--devices=simulated: say how many accelerators, --devices=simulated:8")
    job = Job(
        model, "profile", "pipelined", kind, count, (), FLAGS.batch_size, FLAGS.frames, FLAGS.size,
        FLAGS.classes, FLAGS.dropout, *measured_steps(kind), FLAGS.threads,
        trace=FLAGS.trace, link_gbps=FLAGS.link_gbps,
        workers=FLAGS.devices.removeprefix("workers:") if kind == "workers" else "",
    )  # fmt: skip
    if FLAGS.link_gbps and kind != "simulated":
        raise UserError(
            f"--link_gbps={FLAGS.link_gbps:g} is for --devices=simulated:N: others "
            "have links of their own"
        )
    if kind in ("simulated", "workers") and (FLAGS.jit or FLAGS.precisions):
        raise UserError(
            f"--devices={FLAGS.devices}: --jit and --precisions are for the arithmetic of this "
            "machine's devices, cpu or gpu; leave them out"
        )
    profile = results.of(job)
    modules = profile["modules"]
    if kind == "simulated":
        times = plan.simulated_times(FLAGS.times, timed(job, modules, results), FLAGS.step_ms / 1e3)
        modules = [
            {**module, "forward_seconds": forward, "backward_seconds": backward}
            for module, (forward, backward) in zip(modules, times, strict=True)
        ]
    template = dataclasses.replace(job, device_kind=profile["device_kind"])
    jobs = plan.speed_jobs(
        template, modules, profile["devices"], FLAGS.placement, FLAGS.widen, FLAGS.jit,
        FLAGS.precisions,
    )  # fmt: skip
    if kind not in ("simulated", "workers"):
        jobs += plan.memory_jobs(jobs, memory_frames())
    rows = []
    for number, each in enumerate(jobs, 1):
        print(f"{model}: row {number} of {len(jobs)}, {each.name}", file=sys.stderr, flush=True)
        rows.append(make_row(each, results.of(each), modules))
    return rows


def measured_steps(kind: str) -> tuple[int, int]:
    """Steps of an average, and averages: one of simulated accelerators, whose times are given."""
    steps, repeats = (1, 1) if kind == "simulated" else (100, 3)
    return FLAGS.steps or steps, FLAGS.repeats or repeats


def timed(job: Job, modules: list[dict[str, Any]], results: Results) -> list[dict[str, Any]]:
    """`modules` with the seconds that --times asks for."""
    if FLAGS.times in ("equal", "flops"):
        return modules
    if FLAGS.times == "measured":
        return results.of(dataclasses.replace(job, device_kind="cpu", devices=1))["modules"]
    try:
        rows = json.loads(Path(FLAGS.times).read_text())
        wanted = (row for row in rows if row["model"] == job.model)
        return next(row["modules"] for row in wanted if row["device_kind"] != "simulated")
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise UserError(
            f"--times={FLAGS.times} is no table2.json that measured {job.model} on real devices "
            f"({error!r}); give such a one, or equal, flops or measured"
        ) from error


class Results:
    """What was measured so far, kept in a file until the table is written."""

    def __init__(self, path: Path):
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.known = dict(json.loads(line) for line in lines)

    def of(self, job: Job) -> dict[str, Any]:
        """The result of `job`: kept from before, or measured now."""
        key = job.to_json()
        if key not in self.known:
            self.known[key] = run(job)
            lines = [json.dumps(pair) + "\n" for pair in self.known.items()]
            write_whole(self.path, "".join(lines))
        return self.known[key]


def run(job: Job) -> dict[str, Any]:
    """Measure `job` in a fresh process.

    Raises:
      UserError: with the process's own message, or naming the row if it dies.
    """
    process = subprocess.run(
        **child.command("sideways_tf.bench.measure"),
        input=job.to_json(),
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.returncode:
        raise UserError(
            f"the process that measured {job.name} ended with status {process.returncode} "
            "(negative: the signal; -9 is often too little memory): try fewer --frames, a smaller "
            "--batch_size or --size, or --memory_frames= for no memory rows"
        )
    result = json.loads(process.stdout.splitlines()[-1])
    if "error" in result:
        raise UserError(result["error"])
    return result


def memory_frames() -> list[int]:
    """--memory_frames as numbers."""
    texts = [text for text in FLAGS.memory_frames if text]
    if not all(text.isdecimal() and int(text) for text in texts):
        raise UserError(f"--memory_frames={','.join(texts)}: give whole numbers of frames")
    return [int(text) for text in texts]


def times_words() -> str:
    """Where module times stem from."""
    if not FLAGS.devices.startswith("simulated"):
        return "Module times: each module alone on the first device, warm-up left out."
    source = {
        "equal": "equal in all modules, a backward pass twice its forward pass",
        "flops": "in proportion to floating-point operations",
        "measured": "in proportion to those measured on one CPU thread of this machine",
    }.get(FLAGS.times, f"in proportion to those of {FLAGS.times}")
    return f"Module times are given: {source}; {FLAGS.step_ms:g} ms a step for the largest module."

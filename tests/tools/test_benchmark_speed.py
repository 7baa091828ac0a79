"""The speed benchmark: its plan and predictions by hand, a small run of every kind, its errors.

No speed is checked here: that is what the benchmark itself is for.
"""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.bench import figure, plan, rows, table
from sideways_tf.bench.data_parallel import DataParallel
from sideways_tf.bench.job import Job
from sideways_tf.bench.timeline import Event
from sideways_tf.errors import UserError
from sideways_tf.networks import simple_cnn

# Of six modules over 16 frames: forward each time, backward gamma_i = 16 - 12 + i + 1 times.
PASSES = 6 * 16 + sum(range(6, 12))
ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "benchmark_speed.py"
KEYS = {
    "model", "algorithm", "engine", "devices", "device_kind", "steps_per_second", "speedup",
    "predicted_speedup", "peak_memory_bytes", "modules",
}  # fmt: skip
SMALL = ("--steps=1", "--repeats=1", "--batch_size=2", "--frames=16", "--size=32", "--classes=4")


def benchmark(folder, *flags):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    return subprocess.run(
        [sys.executable, TOOL, f"--output_dir={folder}", *SMALL, *flags],
        capture_output=True, text=True, env=environment, cwd=ROOT,
    )  # fmt: skip


def job(**changes):
    template = Job(
        "vgg8", "sideways", "pipelined", "simulated", 3, (0, 1, 2), 8, 10, 112, 101, 0.0, 1, 1, 1
    )
    return dataclasses.replace(template, **changes)


def frame_by_frame(**changes):
    return job(algorithm="bp", engine="frame_by_frame", **changes)


def modules(*pairs):
    return [
        {"name": f"m{i}", "forward_seconds": f, "backward_seconds": b, "parameter_bytes": 4,
         "forward_flops": f, "backward_flops": b}
        for i, (f, b) in enumerate(pairs, 1)
    ]  # fmt: skip


THREE = modules((1.0, 2.0), (2.0, 4.0), (0.5, 1.0))


class TestPlan:
    def test_device_counts(self):
        assert plan.device_counts(8, 8) == [1, 2, 4, 8]
        assert plan.device_counts(8, 6) == [1, 2, 4, 6]
        assert plan.device_counts(3, 6) == [1, 2, 3]
        assert plan.device_counts(1, 6) == [1]

    @pytest.mark.parametrize("text", ["gpu:0", "tpu:2", "simulated:x", "auto:2", "", "cpu:-1"])
    def test_refuses_devices(self, text):
        with pytest.raises(UserError, match="simulated:N"):
            plan.parse_devices(text)

    @pytest.mark.parametrize("text", ["workers:", "workers:a", "workers:a:1,", "workers:a:1,b"])
    def test_refuses_workers_without_an_address(self, text):
        """They would be measured as devices of this machine."""
        with pytest.raises(UserError, match=f"^--devices={text}: name each worker"):
            plan.parse_devices(text)

    def test_parses_devices(self):
        assert plan.parse_devices("cpu:2") == ("cpu", 2)
        assert plan.parse_devices("gpu") == ("gpu", 0)

    def test_workers_beside_logical_cpus(self):
        assert plan.parse_devices("workers:a:1,b:2") == ("workers", 2)
        template = job(device_kind="workers", workers="a:1,b:2")
        jobs = plan.speed_jobs(template, THREE, 2, "0,1,1")
        assert [(j.engine, j.device_kind, j.workers) for j in jobs] == [
            ("frame_by_frame", "workers", "a:1,b:2"), ("frame_by_frame", "cpu", ""),
            ("pipelined", "workers", "a:1,b:2"), ("pipelined", "cpu", ""),
        ]  # fmt: skip
        assert {(j.devices, j.placement) for j in jobs} == {(2, (0, 1, 1))}

    def test_predictions_by_hand(self):
        # 10 times forward, gamma_i = 6, 7, 8 times backward.
        assert plan.device_seconds(job(), THREE) == [10 + 12, 20 + 28, 5 + 8]
        assert plan.predicted_seconds(job(), THREE) == 48
        assert plan.predicted_seconds(job(placement=(0, 0, 1)), THREE) == 22 + 48
        assert plan.predicted_seconds(frame_by_frame(), THREE) == 10 * 10.5
        # Forward 1 + 2 + 0.5 for the first frame, then 9 times 2; back 3 + 6 + 1.5, 9 times 6.
        gpipe = plan.predicted_seconds(job(algorithm="bp", engine="gpipe"), THREE)
        assert gpipe == (3.5 + 9 * 2.0) + (10.5 + 9 * 6.0)
        assert plan.predicted_seconds(job(engine="time_shifted"), THREE) is None

    def test_simulated_times(self):
        scaled = [(0.05, 0.1), (0.1, 0.2), (0.025, 0.05)]
        for source, expected in (
            ("equal", [(0.1, 0.2)] * 3), ("flops", scaled), ("table2.json", scaled)
        ):  # fmt: skip
            found = plan.simulated_times(source, THREE, 0.3)
            assert list(found) == [pytest.approx(pair) for pair in expected]

    def test_rows_of_a_cpu(self):
        jobs = plan.speed_jobs(job(device_kind="cpu"), THREE, 2, "balanced")
        named = [(j.devices, j.algorithm, j.engine) for j in jobs]
        assert named == [
            (1, "bp", "keras"), (1, "bp", "batched"), (1, "sideways", "time_shifted"),
            (1, "bp", "frame_by_frame"), (1, "sideways", "pipelined"),
            (2, "bp", "frame_by_frame"), (2, "sideways", "pipelined"), (2, "bp", "gpipe"),
            (2, "bp", "mirrored"), (2, "bp", "mirrored_frames"),
        ]  # fmt: skip
        alone = plan.speed_jobs(job(device_kind="cpu", batch=1), THREE, 2, "balanced")
        assert not any(j.engine.startswith("mirrored") for j in alone)  # Nothing to share out.
        assert {j.placement for j in jobs if j.devices == 2} == {(0, 1, 1)}  # 3 | 7.5, not 9 | 1.5
        assert {j.batch for j in jobs} == {8}
        both = plan.speed_jobs(job(device_kind="cpu"), THREE, 2, "balanced", jit=True)
        assert [j.engine for j in both if j.jit] == ["batched", "time_shifted"]
        assert plan.memory_jobs(both, [8]) == plan.memory_jobs(jobs, [8])
        short = plan.speed_jobs(
            job(device_kind="cpu"), THREE, 2, "balanced", precisions=["mixed_bfloat16"]
        )
        extra = [(j.engine, j.devices) for j in short if j.precision == "mixed_bfloat16"]
        assert extra == [("time_shifted", 1), ("pipelined", 2)]
        assert plan.memory_jobs(short, [8]) == plan.memory_jobs(jobs, [8])
        memory = plan.memory_jobs(jobs, [8, 16])
        assert {(j.algorithm, j.engine, j.devices, j.frames) for j in memory} == {
            (*engine, k)
            for engine in [
                ("sideways", "pipelined", 2), ("bp", "gpipe", 2), ("bp", "batched", 1)
            ]
            for k in (8, 16)
        }  # fmt: skip

    def test_modules_shared_out_by_hand(self):
        made = modules((1.0, 2.0), (2.0, 4.0), (0.5, 1.0))
        for module, units in zip(made, (32, 64, 0), strict=True):
            module.update(units=units, in_bytes=300, out_bytes=150)
        (bp, wide) = plan.wide_jobs(job(devices=2, placement=()), made)
        # 3 + 6 + 1.5 seconds: 5.25 a device; 64 channels in 16s: 3 + 3 | 3 + 1.5, the rest less.
        assert bp.shares == wide.shares == (((0, 32),), ((0, 24), (1, 40)), ((1, 1),))
        assert wide.placement == (0, 1, 1)
        assert plan.slice_seconds(wide, made) == [
            [(0, 1.0, 2.0)], [(0, 0.75, 1.5), (1, 1.25, 2.5)], [(1, 0.5, 1.0)]
        ]  # fmt: skip
        assert wide.times[1] == ((0.75, 1.5), (1.25, 2.5))
        # gamma_i = 6, 7, 8 of 10 steps backward.
        assert plan.device_seconds(wide, made) == [17.5 + 12 + 10.5, 17.5 + 17.5 + 8]
        assert plan.predicted_seconds(bp, made) == 10 * (3 + 1.25 + 2.5 + 1.5)
        assert plan.bound(wide, made) == 10.5 / 5.25
        # 8 Gbit/s are 10^9 bytes a second: module 2 joins 3/8 of its output on device 1, to which
        # its input comes, too.
        priced = dataclasses.replace(wide, link_gbps=8.0)
        (_, second) = plan.slice_seconds(priced, made)[1]
        assert second[1] == pytest.approx(1.25 + (300 + 56) * 1e-9)

    def test_too_short_a_clip(self):
        with pytest.raises(UserError, match="4 frames are too few for 3 modules"):
            plan.speed_jobs(job(frames=4), THREE, 2, "balanced")

    def test_job_survives_json(self):
        fields = {"times": (((1.0, 2.0),), ((3.0, 4.0),)), "shares": (((0, 1), (1, 2)), ((2, 1),))}
        assert Job.from_json(job(**fields).to_json()) == job(**fields)


def measured(job_, rate, **changes):
    found = {
        "steps_per_second": rate, "peak_memory_bytes": None, "device_peak_memory_bytes": [],
        "clip_bytes": 0, "busy_share": None, "first_step_seconds": 5.0, "trace_seconds": 2.0,
        "core_seconds_per_step": 2 / rate, **changes,
    }  # fmt: skip
    return rows.make_row(job_, found, THREE)


class TestTable:
    def test_row_by_hand(self):
        row = measured(job(), rate=1 / 80)
        assert set(row) >= KEYS
        assert row["predicted_speedup"] == pytest.approx(10.5 / 6.0)
        assert row["share_of_bound"] == pytest.approx(48 / 80)
        assert row["speedup_over_ideal_bp"] == pytest.approx(105 / 80)
        assert row["busy_share"] == pytest.approx([22 / 80, 48 / 80, 13 / 80])
        assert [module["device"] for module in row["modules"]] == [0, 1, 2]

    def test_busy_share_of_batched_engines_is_unknown(self):
        row = measured(job(engine="time_shifted"), rate=1.0)
        assert row["busy_share"] is None
        assert row["share_of_bound"] is None

    def test_speedup_is_over_bp_on_as_many_devices(self):
        other = {"devices": 2, "placement": (0, 1, 1)}
        made = [
            measured(frame_by_frame(), 2.0),
            measured(job(), 7.0),
            measured(frame_by_frame(**other), 4.0),
            measured(job(**other), 6.0),
            measured(job(purpose="memory"), 7.0),
        ]
        rows.add_speedups(made)
        assert [row["speedup"] for row in made] == [1.0, 3.5, 1.0, 1.5, None]

    def test_page_names_the_kind_and_the_paper(self):
        made = [measured(frame_by_frame(), 2.0), measured(job(), 7.0)]
        rows.add_speedups(made)
        page = table.markdown(made, "Times.", "python tool", "machine")
        assert "simulated accelerators" in page
        assert "no figure here is a speed of hardware" in page
        assert "8 V100 (paper)" in page
        assert "6.0x" in page
        assert "3.50x" in page
        assert table.cuts(made, ["vgg8"]).rows == [
            ["VGG-8", "m2: 57%", "1.75x", "1: 1.00x, 2: 1.40x, 3: 1.75x"]
        ]
        assert "No cut between layers passes all modules' time over that of the largest" in page
        # Each table has at most one sentence under it.
        under = [part for part in page.split("\n\n")[4:] if not part.startswith(("|", "#"))]
        assert all(part.count(". ") == 0 and part.endswith(".") for part in under)

    def test_page_says_what_is_fastest(self):
        cpu = {"device_kind": "cpu", "devices": 2, "placement": (0, 1, 1), "batch": 1}
        made = [measured(frame_by_frame(**cpu), 4.0), measured(job(**cpu), 5.0)]
        assert list(table.fastest(made, "vgg8")) == [
            ["fastest at B = 1: Sideways, pipelined on 2", "BP, frame by frame on 2", "1.25x", ""],
            ["data-parallel BP",
             "none: a batch of 1 cannot be shared out evenly over 2 devices", "", ""],
        ]  # fmt: skip
        made.append(measured(job(algorithm="bp", engine="mirrored", **cpu), 6.0))
        (line,) = table.fastest(made, "vgg8")
        best, other = "data-parallel BP, batched on 2", "Sideways, pipelined on 2"
        assert line == [f"fastest at B = 1: {best}", other, "1.20x", ""]

    def test_compiled_and_short_numbers_stand_beside_their_like(self):
        one = {"devices": 1, "placement": (0, 0, 0), "device_kind": "cpu"}
        other = {**one, "engine": "time_shifted"}
        made = [
            measured(frame_by_frame(**one), 4.0), measured(job(**one), 3.0),
            measured(job(**other), 2.0), measured(job(**other, jit=True), 1.0),
            measured(job(**one, precision="mixed_float16"), 0.6),
        ]  # fmt: skip
        rows.add_speedups(made)
        assert [row["speedup"] for row in made] == [1.0, 0.75, 0.5, 0.25, 0.15]
        assert table.shortened(made, ["vgg8"]).rows == [
            ["VGG-8", "Sideways, time-shifted, compiled (XLA) on 1", "0.50x"],
            ["VGG-8", "Sideways, pipelined, mixed_float16 on 1", "0.20x"],
        ]  # fmt: skip

    def test_one_device_by_clock_and_by_processor(self):
        one = {"devices": 1, "placement": (0, 0, 0), "device_kind": "cpu"}
        made = [
            measured(frame_by_frame(**one), 4.0, core_seconds_per_step=0.3),
            measured(job(**one), 3.0, core_seconds_per_step=0.4),
        ]
        assert list(table.compared(made, "vgg8"))[-1] == [
            "Sideways, pipelined on 1", "BP, frame by frame on 1", "0.75x", "0.75x"
        ]  # fmt: skip

    def test_memory_leaves_the_clip_out(self):
        def row(frames, peak):
            fields = {"peak_memory_bytes": peak << 20, "clip_bytes": frames << 20}
            return measured(job(purpose="memory", frames=frames), 1.0, **fields)

        found = table.memories([row(64, 464), row(256, 686)], ["vgg8"]).rows
        assert [line[2:] for line in found] == [
            ["400 MiB (64 frames)", "430 MiB (256 frames)", "1.07x"]
        ]


def test_events_stem_from_the_frame_of_the_schedule():
    """Figure of schedule.py, D = 3: at step 5 module 1 holds frame 5, the gradient is frame 1's."""
    event = Event(0, 1, True, 5, 0.0, 1.0)
    assert figure.source_frame(event, job()) == 1
    assert figure.source_frame(event, job(algorithm="bp")) == 5
    assert figure.source_frame(Event(0, 3, True, 4, 0.0, 1.0), job()) == 4
    assert figure.source_frame(Event(0, 2, True, 2, 0.0, 1.0), job()) == 0
    assert figure.source_frame(event._replace(backward=False), job()) == 5


@pytest.mark.once
def test_simulated_run_with_timeline(tmp_path):
    done = benchmark(
        tmp_path / "out", "--devices=simulated:2", "--models=simple_cnn", "--step_ms=2",
        f"--trace={tmp_path / 'trace'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "out" / "table2.json").read_text())
    assert all(set(row) >= KEYS and row["device_kind"] == "simulated" for row in made)
    assert {row["devices"] for row in made} == {1, 2}
    assert all(row["steps_per_second"] > 0 and row["speedup"] > 0 for row in made)
    assert (tmp_path / "out" / "table2.md").read_text().strip() in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "table2.json",
        "table2.md",
    ]
    name = "simple_cnn-sideways-pipelined-2_simulated"
    trace = json.loads((tmp_path / "trace" / f"{name}.json").read_text())
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert len(spans) == PASSES
    assert (tmp_path / "trace" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


def measure_cpu(**changes):
    """A row of a tiny Simple-CNN, measured by the process that the benchmark would start."""
    job = Job(
        "simple_cnn", "sideways", "pipelined", "cpu", 2, (0, 0, 0, 1, 1, 1), 2, 16, 32, 4, 0.0,
        1, 1, 1,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "sideways_tf.bench.measure"],
        input=dataclasses.replace(job, **changes).to_json(),
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.once
def test_cpu_row_with_timeline(tmp_path):
    found = measure_cpu(trace=str(tmp_path))
    assert found["steps_per_second"] > 0
    assert found["peak_memory_bytes"] > found["clip_bytes"] == 16 * 2 * 32 * 32 * 3 * 4
    name = "simple_cnn-sideways-pipelined-2_cpu"
    trace = json.loads((tmp_path / f"{name}.json").read_text())
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert len(spans) == PASSES
    assert {event["pid"] for event in spans} == {0, 1}


def test_cpu_profile():
    found = measure_cpu(algorithm="profile", devices=1)
    assert (found["device_kind"], found["devices"], len(found["modules"])) == ("cpu", 1, 6)
    # Module 2, 16x16 pixels, 64 channels out of 32: two operations for a multiply-add.
    assert found["modules"][1]["forward_flops"] >= 2 * (2 * 16 * 16 * 64 * 32 * 9)
    assert all(module["forward_seconds"] > 0 for module in found["modules"])


@pytest.mark.once
@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": "bp", "engine": "keras", "devices": 1, "placement": (0,) * 6},
        {"engine": "time_shifted", "devices": 1, "placement": (0,) * 6, "jit": True},
        {"precision": "mixed_float16"},
        {"shares": ((((0, 32),),) + (((0, 32), (1, 32)),) + tuple(((1, n),) for n in
                                                                    (64, 128, 256, 4)))},
    ],
)  # fmt: skip
def test_other_rows(changes):
    assert measure_cpu(**changes)["steps_per_second"] > 0


def test_data_parallel_bp_is_bp():
    """One step of each, from the same weights on the same clips: the same weights after."""
    weights, start = [], None
    clip, labels = tf.random.stateless_uniform([4, 2, 32, 32, 3], [0, 1]), tf.constant([0, 1])
    for devices, at_once in ((["CPU:0"], True), (["CPU:0", "CPU:1"], False)):
        step = DataParallel(
            lambda: simple_cnn(3), lambda: tf.keras.optimizers.legacy.SGD(0.5), devices, at_once
        )
        with step.strategy.scope():
            step.model.build([None, 32, 32, 3])
        start = start or step.model.get_weights()
        step.model.set_weights(start)
        step(clip, labels)
        weights.append(step.model.get_weights())
    for one, two, before in zip(*weights, start, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)  # float32, sums in another order.
        assert np.abs(one - before).max() > 1e-5


@pytest.mark.once
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--devices=gpu"], "sees no GPU here"),
        (["--devices=simulated"], "say how many accelerators"),
        (["--devices=simulated:2", "--jit"], "--jit and --precisions are for the arithmetic"),
        (["--precisions=float16"], "choose from mixed_bfloat16, mixed_float16"),
        (["--devices=simulated:2", "--frames=10"], "10 frames are too few for 6 modules"),
        (["--devices=simulated:2", "--placement=0,0,0,1,1,2"], "no device '2'; there are 2"),
    ],
)
def test_bad_input_is_one_line(tmp_path, flags, message):
    done = benchmark(tmp_path, "--models=simple_cnn", *flags)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert message in line
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "table2.json").exists()


@pytest.mark.once
def test_goes_on_after_a_stop(tmp_path):
    """A row that was measured before a stop is taken as it is."""
    flags = ("--devices=simulated:1", "--models=simple_cnn", "--step_ms=1")
    assert benchmark(tmp_path, *flags, "--frames=10").returncode == 2  # after the profile
    kept = (tmp_path / "measured.jsonl").read_text().splitlines()
    assert len(kept) == 1
    key, profile = json.loads(kept[0])
    profile["modules"][0]["name"] = "kept"
    key = dataclasses.replace(Job.from_json(key), frames=11).to_json()
    (tmp_path / "measured.jsonl").write_text(json.dumps([key, profile]) + "\n")
    done = benchmark(tmp_path, *flags, "--frames=11")
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "table2.json").read_text())
    assert {row["modules"][0]["name"] for row in made} == {"kept"}
    assert not (tmp_path / "measured.jsonl").exists()

"""What live streams cost, and what Sideways and BP take in by the clock, side by side.

    sideways bench live --source=clip.mp4 --output_dir=FOLDER
    sideways bench live --part=cost

cost: one `live.step` of Sideways over a bare forward, backward and Adam step of the same plain
Keras network, one device, batch 1. They take turns; the median of the pairs' ratios counts.

clock: `sideways stream` on the source, again and again from its start, at each of --rates frames a
second and flat out (--pace=waiting), for --seconds each. Two logical CPUs with one thread each and
modules balanced over them: Sideways computes with both threads; BP, of whose modules one works at a
time, with one. A last row gives BP both threads for its one module at work. Writes stream.json,
stream.md and stream.png to --output_dir. The machine must be quiet.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sideways_tf.errors import UserError
from sideways_tf.machine import machine_words
from sideways_tf.report.table import Table
from sideways_tf.runs import options
from sideways_tf.whole_file import write_whole

FLAGS, define = options.new_flags()
define("part", "all", "what is measured", choices=("all", "cost", "clock"))
define("source", "", "clock: a video, or a folder of videos")
define("size", 240, "height and width of the frames, in pixels", low=8)
define("rates", ["12.5", "25", "50"], "clock: frames per second of the source, comma-separated")
define("seconds", 60.0, "clock: of each row", low=1.0)
define("learning_rate", 2e-4, "clock: of Sideways", low=0.0)
define("bp_learning_rate", 1e-3, "clock: of BP", low=0.0)
define("pairs", 40, "cost: turns", low=3)
define("output_dir", "", "where stream.json, stream.md and stream.png go; empty: nowhere")

FLAT_OUT = 0.0
LAST_SECONDS = 10.0


@dataclass(frozen=True)
class Row:
    """One stream by the clock.

    Attributes:
      algorithm: "sideways" or "bp".
      rate: frames per second of the source; `FLAT_OUT`: it waits for the network.
      threads: that compute at a time.
    """

    algorithm: str
    rate: float
    threads: int

    @property
    def words(self) -> str:
        """The algorithm, and where it is not one thread a device."""
        name = {"sideways": "Sideways", "bp": "BP"}[self.algorithm]
        return f"{name}, both threads" if (self.algorithm, self.threads) == ("bp", 2) else name


def main() -> None:
    """Print, and write to --output_dir, what the chosen parts have found."""
    if FLAGS.part != "cost" and not FLAGS.source:
        raise UserError("--source is missing: name a video, or a folder of videos")
    rates = [_rate(text) for text in FLAGS.rates]
    found: dict[str, Any] = {"machine": machine_words()}
    found["date"] = time.strftime("%Y-%m-%d")
    if FLAGS.part != "cost":
        rows = [Row(a, rate, 2 if a == "sideways" else 1)
                for rate in [*rates, FLAT_OUT] for a in ("bp", "sideways")]  # fmt: skip
        found["clock"] = by_the_clock([*rows, Row("bp", FLAT_OUT, 2)])
        print(table(found["clock"]).markdown(), flush=True)
        print(f"flat out, Sideways over BP: {flat_out(found['clock']):.2f}", flush=True)
    if FLAGS.part != "clock":
        found["cost"] = cost()
        print(
            "one live.step over a bare training step: {ratio:.3f} by the clock, {core_ratio:.3f} "
            "of core seconds ({live_ms:.1f} and {bare_ms:.1f} ms)".format(**found["cost"])
        )
    if FLAGS.output_dir:
        write(Path(FLAGS.output_dir).expanduser(), found)


def _rate(text: str) -> float:
    try:
        rate = float(text)
        if 0 < rate < float("inf"):
            return rate
    except ValueError:
        pass
    raise UserError(f"--rates: '{text}' is no number of frames per second")


# -- by the clock ---------------------------------------------------------------------------------


def by_the_clock(rows: list[Row]) -> list[dict[str, Any]]:
    """results.json of each row's stream, in a process of its own, and the row itself."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for n, row in enumerate(rows):
            print(f"{row.words}, {_rate_words(row.rate)} ...", file=sys.stderr, flush=True)
            workdir = Path(folder) / str(n)
            done = subprocess.run(command(row, workdir), capture_output=True, text=True)
            if done.returncode:
                raise UserError(f"{row.words}: {done.stderr.strip().splitlines()[-1]}")
            results = json.loads((workdir / "results.json").read_text(encoding="utf-8"))
            found.append({**results, "row": [row.algorithm, row.rate, row.threads]})
    return found


def command(row: Row, workdir: Path) -> list[str]:
    """The stream of one row."""
    rate = FLAGS.bp_learning_rate if row.algorithm == "bp" else FLAGS.learning_rate
    pace = ["--pace=waiting"] if row.rate == FLAT_OUT else ["--pace=real", f"--fps={row.rate}"]
    return [
        sys.executable, "-m", "sideways_tf.stream", f"--source={FLAGS.source}", "--loop", *pace,
        f"--size={FLAGS.size}", f"--seconds={FLAGS.seconds}", f"--algorithm={row.algorithm}",
        f"--learning_rate={rate}", "--devices=CPU:0,CPU:1", "--logical_cpus=2",
        f"--threads={row.threads}", f"--workdir={workdir}", "--save_seconds=0",
    ]  # fmt: skip


def table(found: list[dict[str, Any]]) -> Table:
    """A row for each stream."""
    header = ["source", "", "in, 1/s", "taken, 1/s", "dropped", "latency, ms", "updates", "error",
              f"last {LAST_SECONDS:g} s", "floor"]  # fmt: skip
    rows = []
    for each in found:
        row = Row(*each["row"])
        share = each["dropped"] / max(1, each["frames"])
        rows.append([
            _rate_words(row.rate), row.words, f"{each['frames'] / each['seconds']:.1f}",
            f"{each['frames_per_second']:.1f}", f"{share:.0%}", _cell(each["latency_ms"], 0),
            str(each["updates"]), _cell(each["error_mean"], 4), _cell(last_error(each), 4),
            _cell(each["floor_mean"], 4),
        ])  # fmt: skip
    return Table("", header, rows)


def last_error(results: dict[str, Any]) -> float | None:
    """The mean error of the last seconds; None where nothing was shown."""
    since = results["seconds"] - LAST_SECONDS
    found = [each["error"] for each in results["curve"] if each["at"] > since and each["error"]]
    return statistics.fmean(found) if found else None


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _rate_words(rate: float) -> str:
    return "flat out" if rate == FLAT_OUT else f"{rate:g} fps"


def flat_out(found: list[dict[str, Any]]) -> float:
    """Frames a second that Sideways takes in, over those of BP, one thread a device."""
    taken = {tuple(each["row"]): each["frames_per_second"] for each in found}
    return taken["sideways", FLAT_OUT, 2] / taken["bp", FLAT_OUT, 1]


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Frames taken, and the error, by the rate of the source; flat out stands at the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    rates = sorted({each["row"][1] for each in found} - {FLAT_OUT})
    places = [*rates, FLAT_OUT]
    for algorithm, colour in (("bp", "tab:orange"), ("sideways", "tab:blue")):
        threads = 2 if algorithm == "sideways" else 1
        of = {each["row"][1]: each for each in found if each["row"][::2] == [algorithm, threads]}
        name = Row(algorithm, FLAT_OUT, threads).words
        rows, x = [of[rate] for rate in places], range(len(places))
        left.plot(x, [row["frames_per_second"] for row in rows], "o-", color=colour, label=name)
        right.plot(x, [last_error(row) for row in rows], "o-", color=colour, label=name)
        right.plot(
            x, [row["floor_mean"] for row in rows], ":", color=colour, label=f"{name}, floor"
        )
    left.plot(range(len(rates)), rates, "--", color="grey", label="offered")
    for axes, title in (
        (left, "frames taken in a second"),
        (right, f"error, last {LAST_SECONDS:g} s"),
    ):
        axes.set_xticks(range(len(places)), [_rate_words(rate) for rate in places])
        axes.set_title(title, fontsize=10)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=100)


# -- cost -----------------------------------------------------------------------------------------


def cost() -> dict[str, float]:
    """Medians over the pairs: milliseconds of each, and the ratio by the clock and of cores."""
    import tensorflow as tf

    from sideways_tf.bench.stream import LEARNING_RATE, bare_steps
    from sideways_tf.model import SidewaysModel
    from sideways_tf.networks import autoencoder
    from sideways_tf.networks.autoencoder import check_size, pixel_error

    check_size(FLAGS.size)
    tf.keras.utils.set_random_seed(0)
    clip = tf.random.uniform([1, 1, FLAGS.size, FLAGS.size, 3])
    model = SidewaysModel(autoencoder(), update_every=1, devices="CPU:0")
    model.compile(tf.keras.optimizers.legacy.Adam(LEARNING_RATE), pixel_error)
    live, frame = model.live(), clip[0].numpy()
    bare = bare_steps(clip)
    for _ in range(2 * model.depth):  # until every module is due at every step
        live.step(frame, frame)
    pairs = [(_timed(lambda: live.step(frame, frame)), _timed(bare)) for _ in range(FLAGS.pairs)]
    (live_ms, _), (bare_ms, _) = (
        [1000 * statistics.median(each) for each in zip(*times, strict=True)]
        for times in zip(*pairs, strict=True)
    )
    clock, cores = (statistics.median(a[n] / b[n] for a, b in pairs) for n in (0, 1))
    return {"ratio": clock, "core_ratio": cores, "live_ms": live_ms, "bare_ms": bare_ms}


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor's cores."""
    start, core_start = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - core_start


def write(folder: Path, found: dict[str, Any]) -> None:
    """stream.json; of the clock also stream.md and stream.png."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "stream.json", json.dumps(found, indent=1) + "\n")
    if "clock" in found:
        write_whole(folder / "stream.md", table(found["clock"]).markdown() + "\n")
        draw(found["clock"], folder / "stream.png")

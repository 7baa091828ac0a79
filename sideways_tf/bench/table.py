"""table2.md: the rows beside the paper's, and what follows from them, in words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from sideways_tf.bench.job import ENGINE_WORDS, KIND_WORDS
from sideways_tf.bench.plan import loads_of
from sideways_tf.bench.rows import Row, find
from sideways_tf.plan import balance, shares
from sideways_tf.report.table import Table

MODEL_WORDS = {"simple_cnn": "Simple-CNN", "vgg8": "VGG-8"}
# Table 2 of the paper: V100 GPUs, training steps per second of BP and Sideways, speed-up.
PAPER = {"simple_cnn": ("6", "1.7", "8.4", "4.9x"), "vgg8": ("8", "0.1", "0.6", "6.0x")}
BP, SIDEWAYS, GPIPE = ("bp", "frame_by_frame"), ("sideways", "pipelined"), ("bp", "gpipe")
BATCHED, SHIFTED, KERAS = ("bp", "batched"), ("sideways", "time_shifted"), ("bp", "keras")
# What is set against what: (engine, on one device alone?) over (engine, on one?).
RATIOS = (
    (SIDEWAYS, False, GPIPE, False), (SIDEWAYS, False, SIDEWAYS, True), (SIDEWAYS, True, BP, True),
    (SHIFTED, True, KERAS, True), (BATCHED, True, KERAS, True),
)  # fmt: skip
COLUMNS = {
    "model": lambda row: MODEL_WORDS[row["model"]],
    "engine": lambda row: engine_words(row),
    "devices": lambda row: f"{row['devices']} {row['device_kind']}",
    "frames": lambda row: str(row["frames"]),
    "steps/s": lambda row: f"{row['steps_per_second']:.3g}" if row["purpose"] == "speed" else "",
    "speed-up": lambda row: times(row, "speedup"),
    "predicted": lambda row: times(row, "predicted_speedup"),
    "of bound": lambda row: percent(row["share_of_bound"]),
    "busy share of each device": lambda row: " ".join(map(percent, row["busy_share"] or [])),
    "peak memory": lambda row: megabytes(row["peak_memory_bytes"]),
    "import to first loss": lambda row: f"{row['first_step_seconds']:.1f} s",
    "tracing": lambda row: f"{row['trace_seconds']:.1f} s" if row["trace_seconds"] else "",
}
MODULE_COLUMNS = {
    "device": lambda module: shared_words(module),
    "forward": lambda module: f"{module['forward_seconds'] * 1e3:.2f} ms",
    "backward": lambda module: f"{module['backward_seconds'] * 1e3:.2f} ms",
    "GFLOP forward": lambda module: f"{module['forward_flops'] / 1e9:.3f}",
    "GFLOP backward": lambda module: f"{module['backward_flops'] / 1e9:.3f}",
    "weights": lambda module: megabytes(module["parameter_bytes"]),
}


def markdown(rows: Sequence[Row], times: str, command: str, machine: str) -> str:
    """The whole page: tables, each with at most one sentence under it.

    Args:
      rows: of table2.json.
      times: where module times stem from, in words.
      command: that was run.
      machine: hardware, in words.
    """
    first = rows[0]
    models = list(dict.fromkeys(row["model"] for row in rows))
    tables = [
        beside_paper(rows, models), comparisons(rows, models), cuts(rows, models),
        shared_out(rows, models), shortened(rows, models), memories(rows, models),
        all_rows(rows),
        *[module_table(rows, model) for model in models],
    ]  # fmt: skip
    parts = [
        "# Table 2",
        f"Measured on {KIND_WORDS[first['device_kind']]}.\n\n    {command}\n\n{machine}. Batch "
        f"{first['batch']}, {first['frames']} frames, {first['size']}x{first['size']} pixels, "
        f"random numbers; {first['steps']} training steps, best average of {first['repeats']}. "
        f"{times}",
        *[each.markdown() for each in tables if each.rows],
    ]
    return "\n\n".join(parts) + "\n"


def engine_words(row: Row) -> str:
    """The engine, whether modules were shared out, whether XLA has compiled it, its numbers."""
    more = (", widened" if row["wide"] else "") + (", compiled (XLA)" if row["jit"] else "")
    more += f", {row['precision']}" if row["precision"] != "float32" else ""
    return ENGINE_WORDS[row["algorithm"], row["engine"]] + more


def shared_words(module: dict) -> str:
    """The module's device; or channels by device."""
    slices = module.get("slices", ())
    if len(slices) < 2:
        return str(module["device"])
    return " ".join(f"{device}:{units}" for device, units in slices)


def speed_row(
    rows: Sequence[Row], model: str, engine: tuple[str, str], one: bool, wide: bool = False
) -> Row | None:
    """The row of `model` and `engine` on one device, else on the most."""
    most = max(row["devices"] for row in rows if row["model"] == model)
    wanted = {"model": model, "purpose": "speed", "devices": 1 if one else most}
    kind = {"wide": True} if wide else {"plain": True}
    return find(rows, algorithm=engine[0], engine=engine[1], **kind, **wanted)


def beside_paper(rows: Sequence[Row], models: Sequence[str]) -> Table:
    """BP and Sideways on the most devices, in the form of the paper's Table 2."""
    lines = []
    for model in models:
        bp, sideways = (speed_row(rows, model, engine, one=False) for engine in (BP, SIDEWAYS))
        assert bp is not None
        assert sideways is not None
        names = ("model", "devices", "steps/s")
        predicted = [COLUMNS[name](sideways) for name in ("steps/s", "speed-up", "predicted")]
        lines.append([*(COLUMNS[name](bp) for name in names), *predicted])
        lines.append(["", f"{PAPER[model][0]} V100 (paper)", *PAPER[model][1:], ""])
    head = ["", "devices", "BP steps/s", "Sideways steps/s", "speed-up", "predicted"]
    below = (
        "`predicted`: what the module times allow; a little more can come out, since no module "
        "goes backward while the pipe of Sideways fills."
    )
    return Table("", head, lines, below=[below])


def comparisons(rows: Sequence[Row], models: Sequence[str]) -> Table:
    """What is the fastest, and what each row is over those that one would use instead."""
    lines = [[MODEL_WORDS[model], *line] for model in models for line in compared(rows, model)]
    head = ["model", "what", "over", "ratio", "by processor time"]
    below = (
        "By the clock; and, on one device of this machine, by the processor time of the process, "
        "which other work disturbs less."
    )
    return Table("## Compared", head, lines, below=[below])


def compared(rows: Sequence[Row], model: str) -> Iterator[list[str]]:
    """The lines of one model: what, over what, ratio, ratio by processor time."""
    yield from fastest(rows, model)
    sideways, bp = (speed_row(rows, model, engine, one=False) for engine in (SIDEWAYS, BP))
    if sideways and bp:
        ideal = f"{sideways['speedup_over_ideal_bp']:.2f}x"
        yield [placed_words(sideways), "a BP that wastes none of its modules' time", ideal, ""]
    for near in (row for row in rows if row["model"] == model and row["device_kind"] == "cpu"):
        far = find(rows, model=model, engine=near["engine"], device_kind="workers")
        if far:
            yield [placed_words(far), placed_words(near), ratio(far, near), ""]
    for engine, one, other, other_one in RATIOS:
        row, base = speed_row(rows, model, engine, one), speed_row(rows, model, other, other_one)
        if row and base and row is not base:
            yield [placed_words(row), placed_words(base), ratio(row, base), by_cores(row, base)]


def fastest(rows: Sequence[Row], model: str) -> Iterator[list[str]]:
    """Which row is the fastest, and the best of the other algorithm; why none splits the batch."""
    speed = [row for row in rows if row["model"] == model and row["purpose"] == "speed"]
    best = max(speed, key=lambda row: row["steps_per_second"])
    others = [row for row in speed if row["algorithm"] != best["algorithm"]]
    words = f"fastest at B = {best['batch']}: {placed_words(best)}"
    if others:
        other = max(others, key=lambda row: row["steps_per_second"])
        yield [words, placed_words(other), ratio(best, other), ""]
    parallel = any(row["engine"].startswith("mirrored") for row in speed)
    most = max(row["devices"] for row in speed)
    alone = all(row["device_kind"] in ("cpu", "gpu") for row in speed)
    if most > 1 and not parallel and alone:
        why = f"none: a batch of {best['batch']} cannot be shared out evenly over {most} devices"
        yield ["data-parallel BP", why, "", ""]


def cuts(rows: Sequence[Row], models: Sequence[str]) -> Table:
    """How far any placement of whole modules can get, for each number of devices."""
    lines = []
    for model in models:
        row = speed_row(rows, model, SIDEWAYS, one=False)
        if row is None:
            continue
        costs = [m["forward_seconds"] + m["backward_seconds"] for m in row["modules"]]
        bounds = [
            f"{n}: {balance.bound(costs, balance.numbered(balance.cut(costs, n))):.2f}x"
            for n in range(1, len(costs) + 1)
        ]
        largest = row["modules"][costs.index(max(costs))]["name"]
        share, most = percent(max(costs) / sum(costs)), f"{sum(costs) / max(costs):.2f}x"
        lines.append([MODEL_WORDS[model], f"{largest}: {share}", most, ", ".join(bounds)])
    below = (
        "No cut between layers passes all modules' time over that of the largest, while that one "
        "stays whole."
    )
    head = ["model", "largest module", "no cut passes", "`balanced` allows, by devices"]
    return Table("## What module times allow", head, lines, below=[below])


def shared_out(rows: Sequence[Row], models: Sequence[str]) -> Table:
    """What sharing modules out gains, and at which link speed it no longer does."""
    lines = []
    for model in models:
        row = speed_row(rows, model, SIDEWAYS, one=False, wide=True)
        if row is None:
            continue
        whole, bp, wide_bp = (
            speed_row(rows, model, engine, one=False, wide=wide)
            for engine, wide in ((SIDEWAYS, False), (BP, False), (BP, True))
        )
        modules, placed = row["modules"], [module["slices"] for module in row["modules"]]
        least = shares.break_even(loads_of(modules), placed, row["devices"]) * 8 / 1e9
        stay = [f"{each['name']} ({each['whole']})" for each in modules if each.get("whole")]
        lines.append([
            MODEL_WORDS[model], f"{row['devices']} {row['device_kind']}",
            f"{row['link_gbps']:g} Gbit/s" if row["link_gbps"] else "free",
            times(row, "predicted_speedup"), times(row, "speedup"), percent(row["share_of_bound"]),
            ratio(row, whole) if whole else "", ratio(wide_bp, bp) if wide_bp and bp else "",
            f"{least:.3g} Gbit/s", ", ".join(stay) or "none",
        ])  # fmt: skip
    head = [
        "model", "devices", "links", "plan allows", "Sideways over BP", "of the plan's time",
        "over whole modules", "BP so over BP", "gain gone below", "whole by necessity",
    ]  # fmt: skip
    below = (
        "Several devices compute the output channels of one module; BP over which the speed-up is "
        "counted has whole modules, on as many devices."
    )
    return Table("## Modules shared out (`--widen`)", head, lines, below=[below])


def shortened(rows: Sequence[Row], models: Sequence[str]) -> Table:
    """What compiled engines, and those of short numbers, are over the same in float32."""
    lines = []
    for row in rows:
        if row["plain"] or row["wide"] or row["model"] not in models:
            continue
        same = {name: row[name] for name in ("model", "algorithm", "engine", "devices", "purpose")}
        base = find(rows, plain=True, **same)
        if base:
            lines.append([MODEL_WORDS[row["model"]], placed_words(row), ratio(row, base)])
    head = ["model", "what", "over the same, float32, not compiled"]
    return Table("## Compiled, and short numbers", head, lines, below=[
        "The first step of a compiled engine, which compiles, is not among those timed."
    ])  # fmt: skip


def memories(rows: Sequence[Row], models: Sequence[str]) -> Table:
    """Peak memory of the longest clip over that of the shortest, the clip itself left out."""
    memory = [row for row in rows if row["purpose"] == "memory"]
    lines = []
    for model, engine in itertools.product(models, (SIDEWAYS, GPIPE, BATCHED)):
        wanted = (model, *engine)
        found = [r for r in memory if (r["model"], r["algorithm"], r["engine"]) == wanted]
        if len(found) < 2:
            continue
        short, long = (pick(found, key=lambda row: row["frames"]) for pick in (min, max))
        small, large = (row["peak_memory_bytes"] - row["clip_bytes"] for row in (short, long))
        lines.append([
            MODEL_WORDS[model], placed_words(short),
            *(f"{megabytes(size)} ({row['frames']} frames)"
              for size, row in ((small, short), (large, long))),
            f"{large / small:.2f}x",
        ])  # fmt: skip
    head = ["model", "engine", "shortest clip", "longest clip", "ratio"]
    return Table(
        "## Peak memory", head, lines, below=["Of a fresh process, the clip itself left out."]
    )


def all_rows(rows: Sequence[Row]) -> Table:
    """Every row as it was measured."""
    cells = [[column(row) for column in COLUMNS.values()] for row in rows]
    below = (
        "`speed-up` is over BP frame by frame on as many devices, `predicted` what module times "
        "alone give, `of bound` the time that the schedule needs by them over the measured one."
    )
    return Table("## All rows", list(COLUMNS), cells, below=[below])


def module_table(rows: Sequence[Row], model: str) -> Table:
    """Times, operations and bytes of each module, and where it sits with the most devices."""
    # With the most devices; shared out, where it is.
    mine = [row for row in rows if row["model"] == model]
    row = max(mine, key=lambda row: (row["devices"], row["wide"]))
    lines = [
        [f"{i} {module['name']}", *(column(module) for column in MODULE_COLUMNS.values())]
        for i, module in enumerate(row["modules"], 1)
    ]
    title = f"## {MODEL_WORDS[model]}, one batch of {row['batch']} frames"
    return Table(title, ["module", *MODULE_COLUMNS], lines)


def placed_words(row: Row) -> str:
    """The engine and its devices."""
    workers = " workers" if row["device_kind"] == "workers" else ""
    return f"{engine_words(row)} on {row['devices']}{workers}"


def ratio(row: Row, base: Row) -> str:
    """How many times faster `row` is."""
    return f"{row['steps_per_second'] / base['steps_per_second']:.2f}x"


def by_cores(row: Row, base: Row) -> str:
    """The same by processor time, where it says something."""
    if row["device_kind"] == "simulated" or not row["devices"] == base["devices"] == 1:
        return ""
    return f"{base['core_seconds_per_step'] / row['core_seconds_per_step']:.2f}x"


def times(row: Row, key: str) -> str:
    """A speed-up, or nothing."""
    return f"{row[key]:.2f}x" if row[key] and row["purpose"] == "speed" else ""


def percent(share: float | None) -> str:
    """0.5 -> 50%."""
    return "" if share is None else f"{share:.0%}"


def megabytes(size: int | None) -> str:
    """In units of 2^20 bytes."""
    return "" if size is None else f"{size / 2**20:.{0 if size >= 2**20 else 3}f} MiB"

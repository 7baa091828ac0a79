"""table2.md: the rows beside the paper's, and what follows from them, in words."""

from __future__ import annotations

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
    """The whole page.

    Args:
      rows: of table2.json.
      times: where module times stem from, in words.
      command: that was run.
      machine: hardware, in words.
    """
    first = rows[0]
    models = list(dict.fromkeys(row["model"] for row in rows))
    cells = [[column(row) for column in COLUMNS.values()] for row in rows]
    parts = [
        "# Table 2",
        f"Measured on {KIND_WORDS[first['device_kind']]}.\n\n    {command}\n\n{machine}. Batch "
        f"{first['batch']}, {first['frames']} frames, {first['size']}x{first['size']} pixels, "
        f"random numbers; {first['steps']} training steps, best average of {first['repeats']}. "
        f"{times}",
        beside_paper(rows, models),
        "## All rows\n\nSpeed-up: over frame-by-frame BP on as many devices. Predicted: from "
        "module times alone. Of bound: the time that the schedule needs by module times, over the "
        "measured time.",
        Table("", list(COLUMNS), cells).markdown(),
        *[module_table(rows, model) for model in models],
        "## What it says",
        "\n".join(f"- {line}" for model in models for line in figures(rows, model)),
    ]
    return "\n\n".join(parts) + "\n"


def engine_words(row: Row) -> str:
    """The engine, whether modules were shared out, whether XLA has compiled it."""
    more = (", widened" if row["wide"] else "") + (", compiled (XLA)" if row["jit"] else "")
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
    return find(rows, algorithm=engine[0], engine=engine[1], wide=wide, jit=False, **wanted)


def beside_paper(rows: Sequence[Row], models: Sequence[str]) -> str:
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
    return Table("", head, lines).markdown()


def module_table(rows: Sequence[Row], model: str) -> str:
    """Times, operations and bytes of each module, and where it sits with the most devices."""
    # With the most devices; shared out, where it is.
    mine = [row for row in rows if row["model"] == model]
    row = max(mine, key=lambda row: (row["devices"], row["wide"]))
    lines = [
        [f"{i} {module['name']}", *(column(module) for column in MODULE_COLUMNS.values())]
        for i, module in enumerate(row["modules"], 1)
    ]
    title = f"{MODEL_WORDS[model]}, one batch of {row['batch']} frames:"
    return Table(title, ["module", *MODULE_COLUMNS], lines).markdown()


def figures(rows: Sequence[Row], model: str) -> Iterator[str]:
    """What the rows of one model say together, one line each."""
    name = MODEL_WORDS[model]
    yield from fastest_words(rows, model)
    sideways, bp = (speed_row(rows, model, engine, one=False) for engine in (SIDEWAYS, BP))
    if sideways and bp:
        yield (
            f"{name}: Sideways over BP on {bp['devices']} devices {times(sideways, 'speedup')}; "
            f"module times allow {times(sideways, 'predicted_speedup')}, and a little more: while "
            "the pipe fills, no module goes backward. By module times alone Sideways takes "
            f"{percent(sideways['share_of_bound'])} of its measured time, BP "
            f"{percent(bp['share_of_bound'])} of its; over a BP that wastes nothing Sideways has "
            f"{sideways['speedup_over_ideal_bp']:.2f}x."
        )
        yield cut_words(sideways, name)
    yield from wide_words(rows, model)
    for engine, one, other, other_one in RATIOS:
        row, base = speed_row(rows, model, engine, one), speed_row(rows, model, other, other_one)
        if row and base and row is not base:
            yield ratio_words(row, base, name)
    for engine in (SIDEWAYS, GPIPE, BATCHED):
        yield from memory_words(rows, model, engine)
    if rows[0]["device_kind"] != "simulated":
        first = max(row["first_step_seconds"] for row in rows if row["model"] == model)
        yield f"{name}: from import to the first loss at most {first:.1f} s."


def cut_words(row: Row, name: str) -> str:
    """How far any placement can get: the bound for each number of devices."""
    costs = [m["forward_seconds"] + m["backward_seconds"] for m in row["modules"]]
    bounds = [
        f"{n}: {balance.bound(costs, balance.numbered(balance.cut(costs, n))):.2f}x"
        for n in range(1, len(costs) + 1)
    ]
    largest = row["modules"][costs.index(max(costs))]["name"]
    return (
        f"{name}: `balanced` allows, by number of devices, {', '.join(bounds)}. No cut between "
        f"layers passes {sum(costs) / max(costs):.2f}x while {largest} stays whole: it has "
        f"{percent(max(costs) / sum(costs))} of the work."
    )


def fastest_words(rows: Sequence[Row], model: str) -> Iterator[str]:
    """Which row is the fastest, and the best of the other kind; why no row splits the batch."""
    speed = [row for row in rows if row["model"] == model and row["purpose"] == "speed"]
    best = max(speed, key=lambda row: row["steps_per_second"])
    others = [row for row in speed if row["algorithm"] != best["algorithm"]]
    words = f"{engine_words(best)} on {best['devices']} {best['device_kind']}"
    if others:
        other = max(others, key=lambda row: row["steps_per_second"])
        ratio = best["steps_per_second"] / other["steps_per_second"]
        words += f", {ratio:.2f}x {engine_words(other)} on {other['devices']}"
    yield f"{MODEL_WORDS[model]}, fastest here at B = {best['batch']}: {words}."
    parallel = any(row["engine"].startswith("mirrored") for row in speed)
    most = max(row["devices"] for row in speed)
    if most > 1 and not parallel and best["device_kind"] != "simulated":
        yield (
            f"{MODEL_WORDS[model]}: no data-parallel BP: a batch of {best['batch']} cannot be "
            f"shared out evenly over {most} devices."
        )


def wide_words(rows: Sequence[Row], model: str) -> Iterator[str]:
    """What sharing modules out gains, and at which link speed it no longer does."""
    row = speed_row(rows, model, SIDEWAYS, one=False, wide=True)
    if row is None:
        return
    name, modules, devices = MODEL_WORDS[model], row["modules"], row["devices"]
    whole, bp = (speed_row(rows, model, each, one=False) for each in (SIDEWAYS, BP))
    assert whole is not None
    ratio = row["steps_per_second"] / whole["steps_per_second"]
    loads, placed = loads_of(modules), [module["slices"] for module in modules]
    least = shares.break_even(loads, placed, devices) * 8 / 1e9
    links = f" over links of {row['link_gbps']:g} Gbit/s" if row["link_gbps"] else ""
    stay = [f"{each['name']} ({each['whole']})" for each in modules if each.get("whole")]
    yield (
        f"{name}, modules shared out over {devices} devices{links}: Sideways over BP "
        f"{times(row, 'speedup')}, over Sideways with whole modules {ratio:.2f}x; its plan allows "
        f"{times(row, 'predicted_speedup')}, and it reaches {percent(row['share_of_bound'])} of "
        f"what the plan needs. By shapes and module times the gain is gone below {least:.3g} "
        f"Gbit/s a device. Whole by necessity: {', '.join(stay) or 'none'}."
    )
    wide_bp = speed_row(rows, model, BP, one=False, wide=True)
    if wide_bp and bp:
        faster = wide_bp["steps_per_second"] / bp["steps_per_second"]
        yield f"{name}: BP with the same shared modules is {faster:.2f}x BP with whole ones."


def ratio_words(row: Row, base: Row, name: str) -> str:
    """How many times faster, by the clock and by processor time, which other work disturbs less."""
    words = [
        f"{ENGINE_WORDS[each['algorithm'], each['engine']]} on {each['devices']}"
        for each in (row, base)
    ]
    ratio = f"{row['steps_per_second'] / base['steps_per_second']:.3f}x"
    if row["device_kind"] != "simulated" and row["devices"] == base["devices"] == 1:
        cores = base["core_seconds_per_step"] / row["core_seconds_per_step"]
        ratio += f" (by processor time {cores:.3f}x)"
    return f"{name}: {words[0]} over {words[1]} {ratio}."


def memory_words(rows: Sequence[Row], model: str, engine: tuple[str, str]) -> Iterator[str]:
    """Peak memory of the longest clip over that of the shortest, the clip itself left out."""
    found = [
        row
        for row in rows
        if (row["purpose"], row["model"], row["algorithm"], row["engine"])
        == ("memory", model, *engine)
    ]
    if len(found) < 2:
        return
    short, long = (pick(found, key=lambda row: row["frames"]) for pick in (min, max))
    small, large = (row["peak_memory_bytes"] - row["clip_bytes"] for row in (short, long))
    yield (
        f"{MODEL_WORDS[model]}, {ENGINE_WORDS[engine]}, {short['devices']} "
        f"{short['device_kind']}: peak memory without the clip {megabytes(small)} at "
        f"{short['frames']} frames, {megabytes(large)} at {long['frames']}: {large / small:.2f}x."
    )


def times(row: Row, key: str) -> str:
    """A speed-up, or nothing."""
    return f"{row[key]:.2f}x" if row[key] and row["purpose"] == "speed" else ""


def percent(share: float | None) -> str:
    """0.5 -> 50%."""
    return "" if share is None else f"{share:.0%}"


def megabytes(size: int | None) -> str:
    """In units of 2^20 bytes."""
    return "" if size is None else f"{size / 2**20:.{0 if size >= 2**20 else 3}f} MiB"

"""table2.md: the rows beside the paper's, and what follows from them, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sideways_tf.plan import balance
from sideways_tf.speed.job import ENGINE_WORDS, KIND_WORDS
from sideways_tf.speed.rows import Row, find

MODEL_WORDS = {"simple_cnn": "Simple-CNN", "vgg8": "VGG-8"}
# Table 2 of the paper: training steps per second, and the speed-up as printed; V100 GPUs.
PAPER = {"simple_cnn": (6, 1.7, 8.4, 4.9), "vgg8": (8, 0.1, 0.6, 6.0)}


def markdown(rows: Sequence[Row], times: str, command: str, machine: str) -> str:
    """The whole page.

    Args:
      rows: of table2.json.
      times: where module times stem from, in words.
      command: that was run.
      machine: hardware, in words.
    """
    kind, first = rows[0]["device_kind"], rows[0]
    models = list(dict.fromkeys(row["model"] for row in rows))
    parts = [
        "# Table 2",
        f"Measured on {KIND_WORDS[kind]}.\n\n    {command}\n\n{machine}. Batch {first['batch']}, "
        f"{first['frames']} frames, {first['size']}x{first['size']} pixels, random numbers; "
        f"{first['steps']} training steps, best average of {first['repeats']}. {times}",
        beside_paper(rows, models, kind),
        "## All rows\n\nSpeed-up: over frame-by-frame BP on as many devices. Predicted: from "
        "module times alone. Of bound: the time that the schedule needs by module times, over the "
        "measured time.",
        all_rows(rows),
        *[module_table(rows, model) for model in models],
        "## What it says",
        "\n".join(f"- {line}" for model in models for line in figures(rows, model)),
    ]
    return "\n\n".join(parts) + "\n"


def beside_paper(rows: Sequence[Row], models: Sequence[str], kind: str) -> str:
    """BP and Sideways on the most devices, in the form of the paper's Table 2."""
    lines = []
    for model in models:
        most = max(row["devices"] for row in rows if row["model"] == model)
        bp, sideways = (pipelined(rows, model, name, most) for name in ("bp", "sideways"))
        assert bp is not None
        assert sideways is not None
        devices, paper_bp, paper_sideways, paper_speedup = PAPER[model]
        lines += [
            [MODEL_WORDS[model], f"{most} {kind}", rate(bp), rate(sideways), times(sideways),
             times(sideways, "predicted_speedup")],
            ["", f"{devices} V100 (paper)", str(paper_bp), str(paper_sideways),
             f"{paper_speedup}x", ""],
        ]  # fmt: skip
    head = ["", "devices", "BP steps/s", "Sideways steps/s", "speed-up", "predicted"]
    return grid(head, lines)


def all_rows(rows: Sequence[Row]) -> str:
    """Every row; memory rows name their frames."""
    lines = [
        [
            MODEL_WORDS[row["model"]],
            ENGINE_WORDS[row["algorithm"], row["engine"]],
            f"{row['devices']} {row['device_kind']}",
            str(row["frames"]),
            rate(row),
            times(row),
            times(row, "predicted_speedup"),
            percent(row["share_of_bound"]),
            " ".join(percent(share) for share in row["busy_share"] or []),
            megabytes(row["peak_memory_bytes"]),
            f"{row['first_step_seconds']:.1f} s",
        ]
        for row in rows
    ]
    head = ["model", "engine", "devices", "frames", "steps/s", "speed-up", "predicted", "of bound",
            "busy share of each device", "peak memory", "import to first loss"]  # fmt: skip
    return grid(head, lines)


def module_table(rows: Sequence[Row], model: str) -> str:
    """Times, operations and bytes of each module, and where it sits with the most devices."""
    row = max((row for row in rows if row["model"] == model), key=lambda row: row["devices"])
    lines = [
        [
            f"{i} {m['name']}",
            str(m["device"]),
            f"{m['forward_seconds'] * 1e3:.2f} ms",
            f"{m['backward_seconds'] * 1e3:.2f} ms",
            f"{m['forward_flops'] / 1e9:.3f}",
            f"{m['backward_flops'] / 1e9:.3f}",
            megabytes(m["parameter_bytes"]),
        ]
        for i, m in enumerate(row["modules"], 1)
    ]
    head = ["module", "device", "forward", "backward", "GFLOP forward", "GFLOP backward", "weights"]
    return f"{MODEL_WORDS[model]}, one batch of {row['batch']} frames:\n\n{grid(head, lines)}"


def figures(rows: Sequence[Row], model: str) -> Iterator[str]:
    """What the rows of one model say together, one line each."""
    name = MODEL_WORDS[model]
    most = max(row["devices"] for row in rows if row["model"] == model)
    sideways, bp = (pipelined(rows, model, x, most) for x in ("sideways", "bp"))
    gpipe = find(rows, model=model, engine="gpipe", devices=most, purpose="speed")
    if sideways and bp:
        yield (
            f"{name}: Sideways over BP on {most} devices {times(sideways)}; module times allow "
            f"{times(sideways, 'predicted_speedup')}. By module times alone Sideways takes "
            f"{percent(sideways['share_of_bound'])} of its measured time, BP "
            f"{percent(bp['share_of_bound'])} of its; over a BP that wastes nothing Sideways has "
            f"{sideways['speedup_over_ideal_bp']:.2f}x. It can pass what module times allow by a "
            "little: while the pipe fills, no module goes backward."
        )
        yield cut_words(sideways, name)
    if sideways and gpipe:
        yield (
            f"{name}: Sideways over exact pipelined BP (GPipe) on {most} devices "
            f"{ratio(sideways, gpipe):.2f}x: GPipe computes every forward pass twice, and twice "
            f"waits {len(sideways['modules']) - 1} of {sideways['frames']} + "
            f"{len(sideways['modules']) - 1} ticks while its pipe fills and drains."
        )
    yield from one_device(rows, model, name, sideways)
    for algorithm, engine in (
        ("sideways", "pipelined"), ("bp", "gpipe"), ("bp", "time_shifted")
    ):  # fmt: skip
        yield from memory_words(rows, model, algorithm, engine)
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


def one_device(rows: Sequence[Row], model: str, name: str, sideways: Row | None) -> Iterator[str]:
    """The overhead rows, against each other."""
    one, bp = (pipelined(rows, model, x, 1) for x in ("sideways", "bp"))
    keras, batched, shifted = (
        find(rows, model=model, algorithm=a, engine=e, devices=1, purpose="speed")
        for a, e in (("bp", "keras"), ("bp", "time_shifted"), ("sideways", "time_shifted"))
    )
    if one and bp:
        yield f"{name}, one device: pipelined over frame-by-frame BP {both_ratios(one, bp)}."
    if one and sideways and sideways["devices"] > 1:
        yield (
            f"{name}: Sideways on {sideways['devices']} devices over Sideways on one "
            f"{ratio(sideways, one):.2f}x."
        )
    if keras and batched and shifted:
        yield (
            f"{name}, one device: time-shifted Sideways over batched BP in plain Keras "
            f"{both_ratios(shifted, keras)}; batched BP over it {both_ratios(batched, keras)}."
        )


def memory_words(rows: Sequence[Row], model: str, algorithm: str, engine: str) -> Iterator[str]:
    """Peak memory of the longest clip over that of the shortest, the clip itself left out."""
    found = [
        row
        for row in rows
        if (row["model"], row["algorithm"], row["engine"]) == (model, algorithm, engine)
        and row["purpose"] == "memory"
    ]
    if len(found) < 2:
        return
    short, long = (pick(found, key=lambda row: row["frames"]) for pick in (min, max))
    small, large = (row["peak_memory_bytes"] - row["clip_bytes"] for row in (short, long))
    yield (
        f"{MODEL_WORDS[model]}, {ENGINE_WORDS[algorithm, engine]}, {short['devices']} "
        f"{short['device_kind']}: peak memory without the clip {megabytes(small)} at "
        f"{short['frames']} frames, {megabytes(large)} at {long['frames']}: {large / small:.2f}x."
    )


def pipelined(rows: Sequence[Row], model: str, algorithm: str, devices: int) -> Row | None:
    """The frame-by-frame row."""
    return find(
        rows, model=model, algorithm=algorithm, engine="pipelined", devices=devices,
        purpose="speed",
    )  # fmt: skip


def ratio(row: Row, base: Row) -> float:
    """How many times faster `row` is."""
    return row["steps_per_second"] / base["steps_per_second"]


def both_ratios(row: Row, base: Row) -> str:
    """How many times faster, by the clock and by processor time, which other work disturbs less."""
    if row["device_kind"] == "simulated":
        return f"{ratio(row, base):.3f}"
    cores = base["core_seconds_per_step"] / row["core_seconds_per_step"]
    return f"{ratio(row, base):.3f} (by processor time {cores:.3f})"


def rate(row: Row) -> str:
    """Steps per second."""
    return f"{row['steps_per_second']:.3g}" if row["purpose"] == "speed" else ""


def times(row: Row, key: str = "speedup") -> str:
    """A speed-up, or nothing."""
    return f"{row[key]:.2f}x" if row[key] and row["purpose"] == "speed" else ""


def percent(share: float | None) -> str:
    """0.5 -> 50%."""
    return "" if share is None else f"{share:.0%}"


def megabytes(size: int | None) -> str:
    """In units of 2^20 bytes."""
    return (
        "" if size is None else f"{size / 2**20:.3g} MiB" if size < 2**20 else f"{size >> 20} MiB"
    )


def grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table that also reads well as text."""
    table = [list(head), *map(list, lines)]
    widths = [max(len(line[n]) for line in table) for n in range(len(head))]
    table.insert(1, ["-" * width for width in widths])
    padded = (
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in table
    )
    return "\n".join(f"| {line} |" for line in padded)

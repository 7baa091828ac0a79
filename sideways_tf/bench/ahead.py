"""Plan before paying: modules, devices, speed-up, memory and traffic of a network.

    sideways bench plan --model=vgg8 --devices=8
    sideways bench plan --model=mine.keras --modules=12 --devices=64 --machines=8 --network_gbps=100
    sideways bench plan --model=vgg8 --devices=8 --picture=pipe.png

Nothing is measured: times are counted operations over --teraflops, or those of a table2.json that
`sideways bench speed` has measured; memory and traffic come from shapes. Devices are numbered from
0, machine by machine. Speed-ups are over BP, frame by frame, with whole modules on as many devices.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sideways_tf.errors import UserError
from sideways_tf.runs import options

if TYPE_CHECKING:
    from sideways_tf.bench.job import Job

FLAGS, define = options.new_flags()
# fmt: off
define("model", "simple_cnn", "what: simple_cnn, vgg8, or a file of a Keras model")
define("modules", 0, "what: cut the network into so many; 0: its own modules", low=0)
define("devices", 8, "what: how many", low=1)
define("machines", 1, "what: over how many machines the devices are spread, evenly", low=1)
define("widen", True, "what: modules may be shared out over devices by output channels")
define("batch_size", 8, "clips: B", low=1)
define("frames", 64, "clips: K", low=1)
define("size", 112, "clips: height and width in pixels", low=8)
define("classes", 101, "clips: classes", low=2)
define("times", "flops", "times: counted operations (flops), or a table2.json")
define("teraflops", 10.0, "times: what a device computes, 10^12 operations a second", low=1e-6)
define("link_gbps", 0.0, "times: Gbit/s at which what others send arrives; 0: at once", low=0)
define("network_gbps", 0.0, "times: the same from other machines; 0: at once", low=0)
define("moments", 2, "memory: numbers that the optimizer keeps for a weight (Adam 2, SGD 0)", low=0)
define("picture", "", "output: a PNG of the pipe")
define("json", False, "output: print JSON")
# fmt: on

WORDS = {"sideways": "Sideways", "bp": "BP", "gpipe": "GPipe", "data-parallel": "data-parallel BP"}
WIDTH = 60


def main() -> None:
    """Plan, print, draw."""
    if FLAGS.devices % FLAGS.machines:
        raise UserError(
            f"--machines={FLAGS.machines}: --devices={FLAGS.devices} cannot be spread over them "
            "evenly"
        )
    found = make_plan()
    if FLAGS.picture:
        draw(found, Path(FLAGS.picture))
    print(json.dumps(found, indent=1) if FLAGS.json else "\n\n".join(words(found)))


def make_plan() -> dict[str, Any]:
    """All that is printed, as JSON takes it."""
    from sideways_tf.bench import plan
    from sideways_tf.engines import schedule
    from sideways_tf.plan import shares

    modules, devices = profile(), FLAGS.devices
    schedule.check_episode(len(modules), FLAGS.frames)
    loads = plan.loads_of(modules)
    whole = tuple(shares.whole(loads, devices))
    job = new_job(whole)
    placed = tuple(shares.widen(loads, devices, plan.links_of(job))) if FLAGS.widen else whole
    sent = shares.transfers(loads, placed)
    apart = [each for each in sent if machine(each.source) != machine(each.target)]
    return {
        "modules": modules,
        "slices": placed,
        "seconds": predictions(job, modules, placed),
        "device_seconds": shares.device_seconds(loads, placed, devices),
        "memory": memory_of(modules, placed, whole),
        "received_bytes": [
            sum(each.forward + each.backward for each in sent if each.target == n)
            for n in range(devices)
        ],
        "between_machines_bytes": sum(each.forward + each.backward for each in apart),
        "break_even_gbps": shares.break_even(loads, placed, devices) * 8 / 1e9,
    }


def predictions(job: Job, modules: list[dict[str, Any]], placed: tuple) -> dict[str, float | None]:
    """Seconds of a clip, by engine; `job` is Sideways with whole modules."""
    import dataclasses

    from sideways_tf.bench.plan import links_of, loads_of, predicted_seconds

    jobs = {
        "bp": dataclasses.replace(job, algorithm="bp", engine="frame_by_frame"),
        "sideways": dataclasses.replace(job, shares=placed),
        "sideways, whole modules": job,
        "gpipe": dataclasses.replace(job, algorithm="bp", engine="gpipe"),
    }
    found = {name: predicted_seconds(each, modules) for name, each in jobs.items()}
    return {**found, "data-parallel": parallel_seconds(loads_of(modules), links_of(job))}


def memory_of(
    modules: list[dict[str, Any]], placed: tuple, whole: tuple
) -> dict[str, list[dict[str, int]]]:
    """By algorithm, by device: bytes of each kind."""
    from sideways_tf.plan import memory

    names = ("parameter_bytes", "in_bytes", "out_bytes", "activation_bytes")
    sizes = [memory.Size(*(module[name] for name in names)) for module in modules]
    found = {}
    for name in memory.ALGORITHMS:
        where = placed if name == "sideways" else whole
        each = memory.by_device(name, sizes, where, FLAGS.devices, FLAGS.frames, FLAGS.moments)
        found[name] = [one._asdict() for one in each]
    return found


def machine(device: int) -> int:
    """The number of its machine."""
    return device * FLAGS.machines // FLAGS.devices


def new_job(whole: tuple) -> Job:
    """Sideways with whole modules."""
    from sideways_tf.bench.job import Job
    from sideways_tf.plan import shares

    leads = tuple(shares.lead(each) for each in whole)
    return Job(
        FLAGS.model, "sideways", "pipelined", "simulated", FLAGS.devices, leads, FLAGS.batch_size,
        FLAGS.frames, FLAGS.size, FLAGS.classes, 0.0, 1, 1, 1, shares=whole,
        link_gbps=FLAGS.link_gbps, network_gbps=FLAGS.network_gbps,
        per_machine=FLAGS.devices // FLAGS.machines if FLAGS.machines > 1 else 0,
    )  # fmt: skip


def parallel_seconds(loads: Sequence[Any], links: Any) -> float | None:
    """Of a step of data-parallel BP: its share, and a ring in which gradients go round; None where
    the batch cannot be split.
    """
    count = FLAGS.devices
    if FLAGS.batch_size % count:
        return None
    speed = links.between if FLAGS.machines > 1 and links.between else links.within
    around = 2 * (count - 1) / count * sum(load.weight_bytes for load in loads)
    work = FLAGS.frames * sum(load.seconds for load in loads) / count
    return work + (around / speed if speed else 0.0)


def profile() -> list[dict[str, Any]]:
    """Name, seconds and sizes of each module."""
    import tensorflow as tf

    from sideways_tf.modules import split
    from sideways_tf.plan.costs import costs

    network, frame = layers(), tf.TensorSpec([FLAGS.batch_size, FLAGS.size, FLAGS.size, 3])
    if not isinstance(network, list):
        frame = tf.TensorSpec([FLAGS.batch_size, *network.input_shape[1:]])
        if not FLAGS.modules:
            raise UserError(f"--model={FLAGS.model}: say into how many modules, --modules=N")
    if FLAGS.modules:
        network = split(network, FLAGS.modules, frame=frame)
    times = measured(len(network))
    rows = []
    for n, (layer, cost) in enumerate(zip(network, costs(network, frame), strict=True)):
        pair = [cost.forward / FLAGS.teraflops / 1e12, cost.backward / FLAGS.teraflops / 1e12]
        forward, backward = times[n] if times else pair
        seconds = {"forward_seconds": forward, "backward_seconds": backward}
        rows.append({"name": layer.name, **seconds, **cost._asdict()})
    return rows


def layers() -> Any:
    """The layers of --model, one a module, or a Keras model."""
    import tensorflow as tf

    from sideways_tf.networks import simple_cnn, vgg8

    own: dict[str, Any] = {"simple_cnn": simple_cnn, "vgg8": vgg8}
    if FLAGS.model in own:
        return own[FLAGS.model](FLAGS.classes)
    try:
        return tf.keras.models.load_model(FLAGS.model, compile=False)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"--model={FLAGS.model} is none of {', '.join(own)}, nor a file of a Keras 2 model "
            f"({reason})"
        ) from None


def measured(depth: int) -> list[tuple[float, float]]:
    """Seconds of each module of --times; [] where operations count."""
    if FLAGS.times == "flops":
        return []
    try:
        rows = json.loads(Path(FLAGS.times).read_text())
        found = next(row["modules"] for row in rows if row["model"] == FLAGS.model)
        pairs = [(m["forward_seconds"], m["backward_seconds"]) for m in found]
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise UserError(
            f"--times={FLAGS.times} is no table2.json that measured {FLAGS.model} ({error!r})"
        ) from None
    if len(pairs) != depth:
        raise UserError(f"--times={FLAGS.times} has {len(pairs)} modules, the network {depth}")
    return pairs


def words(found: dict[str, Any]) -> Iterator[str]:
    """The page."""
    from sideways_tf.report.table import Table

    total, busy = sum(found["device_seconds"]), found["device_seconds"]
    rows = []
    for n, (module, slices) in enumerate(zip(found["modules"], found["slices"], strict=True), 1):
        seconds = module["forward_seconds"] + module["backward_seconds"]
        where = " ".join(f"{d}:{units}" for d, units in slices) if len(slices) > 1 else slices[0][0]
        rows.append(
            [f"{n} {module['name']}", str(where), f"{seconds / total:.1%}", module["whole"]]
        )
    head = ["module", "device, or device:channels", "of the work", "whole, because"]
    yield Table(f"{FLAGS.model}, D = {len(rows)}", head, rows).markdown()
    yield "A computation step of each device (module by module):\n" + "\n".join(bars(found))
    base = found["seconds"]["bp"]
    yield f"Predicted, of a clip of {FLAGS.frames} frames:\n" + "\n".join(
        f"  {name:<24} {seconds:.4g} s   {base / seconds:.2f}x BP"
        if seconds else f"  {name:<24} none: {FLAGS.batch_size} clips over {FLAGS.devices} devices"
        for name, seconds in found["seconds"].items()
    )  # fmt: skip
    yield f"  Sideways never passes {total / max(busy):.2f}x here, but for what it skips at first."
    kinds = list(found["memory"])
    lines = [
        [str(n), *(mebibytes(sum(found["memory"][k][n].values())) for k in kinds),
         *(mebibytes(value) for value in found["memory"]["sideways"][n].values()),
         mebibytes(found["received_bytes"][n])]
        for n in range(FLAGS.devices)
    ]  # fmt: skip
    parts = list(found["memory"]["sideways"][0])
    head = ["device", *(WORDS[k] for k in kinds), *(f"of Sideways: {p}" for p in parts), "received"]
    yield Table(
        "MiB on each device, and received at each computation step:", head, lines
    ).markdown()
    more = f"; between machines {mebibytes(found['between_machines_bytes'])} MiB a step"
    yield (
        f"In all {mebibytes(sum(found['received_bytes']))} MiB a step"
        f"{more if FLAGS.machines > 1 else ''}. Sharing modules out gains nothing below "
        f"{found['break_even_gbps']:.3g} Gbit/s a device."
    )


def bars(found: dict[str, Any]) -> Iterator[str]:
    """A line a device: a digit a module, as wide as its time."""
    longest = max(found["device_seconds"])
    for n, pieces in enumerate(by_device(found)):
        text = "".join(
            str(i % 10) * max(1, round(WIDTH * seconds / longest)) for i, seconds in pieces
        )
        share = found["device_seconds"][n] / longest
        yield f"  {n:>3} |{text:<{WIDTH}}| {share:.0%}"


def by_device(found: dict[str, Any]) -> list[list[tuple[int, float]]]:
    """For each device its modules, from 1, with their seconds."""
    from sideways_tf.plan.shares import part

    devices: list[list[tuple[int, float]]] = [[] for _ in range(FLAGS.devices)]
    for i, (module, slices) in enumerate(zip(found["modules"], found["slices"], strict=True), 1):
        seconds = module["forward_seconds"] + module["backward_seconds"]
        for share in slices:
            devices[share[0]].append((i, seconds * part(share, slices)))
    return devices


def draw(found: dict[str, Any], path: Path) -> None:
    """The pipe: a row a device, its modules as wide as their time."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1 + 0.3 * FLAGS.devices), layout="constrained")
    axes, colours = figure.add_subplot(), colormaps["tab20"]
    for n, pieces in enumerate(by_device(found)):
        left = 0.0
        for i, seconds in pieces:
            axes.barh(n, seconds * 1e3, left=left, color=colours(i % 20), edgecolor="grey")
            axes.text(left + seconds * 5e2, n, str(i), ha="center", va="center", fontsize=8)
            left += seconds * 1e3
    axes.invert_yaxis()
    axes.set_ylabel("device")
    axes.set_xlabel("milliseconds of a computation step; numbers are modules")
    figure.savefig(path, dpi=120)


def mebibytes(size: float) -> str:
    """Of 2^20 bytes."""
    return f"{size / 2**20:.3g}" if size < 100 * 2**20 else f"{size / 2**20:.0f}"

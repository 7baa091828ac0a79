"""Which rows the table has, and what the module times predict for them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from sideways_tf.bench.job import Job
from sideways_tf.engines import schedule
from sideways_tf.errors import UserError
from sideways_tf.plan import balance, shares
from sideways_tf.plan import devices as placement

Modules = Sequence[dict[str, Any]]


def parse_devices(text: str) -> tuple[str, int]:
    """Kind and number of devices: "cpu:2" -> ("cpu", 2). 0: all there are.

    Raises:
      UserError: if the kind or the number is none.
    """
    if text.startswith("workers:"):
        addresses = text.removeprefix("workers:").split(",")
        if not all(re.fullmatch(r"\S+:\d+", address) for address in addresses):
            raise UserError(f"--devices={text}: name each worker, workers:HOST:PORT,HOST:PORT")
        return "workers", len(addresses)
    found = re.fullmatch(r"(auto|gpu|cpu|simulated)(?::([1-9]\d*))?", text)
    if not found or (found[1] == "auto" and found[2]):
        raise UserError(
            f"--devices={text}: give auto, gpu (all GPUs), gpu:N, cpu:N (logical CPUs) or "
            "simulated:N (accelerators of given module times), N at least 1; or "
            "workers:HOST:PORT,HOST:PORT"
        )
    return found[1], int(found[2] or 0)


def device_counts(available: int, depth: int) -> list[int]:
    """1, 2, 4 and D devices, and all there are; never more than there are modules."""
    most = min(available, depth)
    return sorted({n for n in (1, 2, 4, most) if n <= most})


def costs_of(modules: Modules) -> list[float]:
    """Seconds of each module at a computation step, forward and backward."""
    return [m["forward_seconds"] + m["backward_seconds"] for m in modules]


def numbers_for(chosen: str, modules: Modules, devices: int) -> tuple[int, ...]:
    """The device of each module, from 0, as --placement says."""
    names = [f"CPU:{n}" for n in range(devices)]
    numbers = placement.device_numbers(chosen, len(modules), names, lambda: costs_of(modules))
    return tuple(numbers)


def loads_of(modules: Modules) -> list[shares.Load]:
    """The modules as the planner takes them."""
    seconds = costs_of(modules)
    names = ("units", "in_bytes", "out_bytes", "parameter_bytes")
    return [
        shares.Load(cost, *(module.get(name, 0) for name in names))
        for cost, module in zip(seconds, modules, strict=True)
    ]


def whole_shares(numbers: Sequence[int], modules: Modules) -> tuple[shares.Shares, ...]:
    """Whole modules on the devices `numbers`."""
    return tuple(
        ((n, max(load.units, 1)),) for n, load in zip(numbers, loads_of(modules), strict=True)
    )


def wide_jobs(job: Job, modules: Modules) -> list[Job]:
    """BP and Sideways with modules shared out over the devices of `job`; none if none gains."""
    found = tuple(shares.widen(loads_of(modules), job.devices, links_of(job)))
    if all(len(each) == 1 for each in found):
        return []
    leads = tuple(shares.lead(each) for each in found)
    pairs = [("bp", "frame_by_frame"), ("sideways", "pipelined")]
    return [
        with_times(
            dataclasses.replace(job, algorithm=a, engine=e, shares=found, placement=leads), modules
        )
        for a, e in pairs
    ]


def links_of(job: Job) -> shares.Links:
    """Between the job's devices."""
    within, between = job.link_gbps * 1e9 / 8, job.network_gbps * 1e9 / 8
    return shares.Links(within, between, job.per_machine)


def slice_seconds(job: Job, modules: Modules) -> list[list[tuple[int, float, float]]]:
    """For each module, for each slice: device, seconds forward and backward.

    A slice takes its part of its module's time; what arrives over the link is waited for.
    """
    placed = job.shares or whole_shares(job.placement, modules)
    arrived = shares.waits(loads_of(modules), placed, links_of(job))
    return [
        [
            (
                device,
                module["forward_seconds"] * part + there[device][0],
                module["backward_seconds"] * part + there[device][1],
            )
            for (device, part) in ((share[0], shares.part(share, each)) for share in each)
        ]
        for module, each, there in zip(modules, placed, arrived, strict=True)
    ]


def with_times(job: Job, modules: Modules) -> Job:
    """On simulated accelerators: with the seconds of each slice."""
    if job.device_kind != "simulated":
        return job
    times = tuple(tuple((f, b) for _, f, b in each) for each in slice_seconds(job, modules))
    return dataclasses.replace(job, times=times)


def speed_jobs(
    template: Job,
    modules: Modules,
    available: int,
    chosen: str,
    widen: bool = False,
    jit: bool = False,
    precisions: Sequence[str] = (),
) -> list[Job]:
    """The rows of one model, the fewest devices first.

    Args:
      template: the model's job; its algorithm, engine, devices and placement are set here.
      modules: the model's profile.
      available: how many devices there are.
      chosen: --placement; a list is for all devices, fewer ones are balanced.
      jit: on one device, rows that XLA compiles beside the others.
      precisions: policies of which Sideways has rows beside those in float32, on one device
        time-shifted, on the most pipelined.
      widen: on the most devices, rows whose modules are shared out beside those of whole ones.
    """
    schedule.check_episode(len(modules), template.frames)
    if template.device_kind == "workers":
        return worker_jobs(template, modules, available, chosen)
    counts = device_counts(available, len(modules))
    jobs = []
    for n in counts:
        is_list = chosen not in ("balanced", "one_per_module")
        numbers = numbers_for("balanced" if is_list and n != counts[-1] else chosen, modules, n)
        engines = [("bp", "frame_by_frame"), ("sideways", "pipelined")]
        if n > 1:
            engines.append(("bp", "gpipe"))
            if template.device_kind != "simulated" and template.batch % n == 0:
                engines += [("bp", "mirrored"), ("bp", "mirrored_frames")]
        elif template.device_kind != "simulated":
            engines = [
                ("bp", "keras"), ("bp", "batched"), ("sideways", "time_shifted"), *engines
            ]  # fmt: skip
        for algorithm, engine in engines:
            traced = n == counts[-1] and engine in ("frame_by_frame", "pipelined", "gpipe")
            job = dataclasses.replace(template, algorithm=algorithm, engine=engine, devices=n)
            trace = template.trace if traced else ""
            job = dataclasses.replace(job, placement=numbers, trace=trace)
            jobs.append(with_times(job, modules))
    compiled = [
        dataclasses.replace(job, jit=True)
        for job in jobs
        if jit and job.devices == 1 and job.engine in ("batched", "time_shifted")
    ]
    short = [
        dataclasses.replace(job, precision=precision, trace="")
        for precision in precisions
        for job in jobs
        if (job.engine, job.devices) in (("time_shifted", 1), ("pipelined", counts[-1]))
    ]
    most = dataclasses.replace(template, devices=counts[-1], trace="")
    wide = wide_jobs(most, modules) if widen and counts[-1] > 1 else []
    return [*jobs, *compiled, *short, *wide]


def worker_jobs(template: Job, modules: Modules, available: int, chosen: str) -> list[Job]:
    """Sideways and BP over all workers, and on as many logical CPUs."""
    numbers = numbers_for(chosen, modules, available)
    on_workers = dataclasses.replace(template, devices=available, placement=numbers, trace="")
    on_cpus = dataclasses.replace(on_workers, device_kind="cpu", workers="")
    return [
        dataclasses.replace(job, algorithm=algorithm, engine=engine)
        for algorithm, engine in (("bp", "frame_by_frame"), ("sideways", "pipelined"))
        for job in (on_workers, on_cpus)
    ]


def memory_jobs(jobs: Sequence[Job], frames: Sequence[int]) -> list[Job]:
    """Rows that show how memory grows with the clip: one step each, for every K in `frames`.

    Args:
      jobs: the speed rows of one model.
    """
    most = max(job.devices for job in jobs)
    shown = {("sideways", "pipelined", most), ("bp", "gpipe", most), ("bp", "batched", 1)}
    changes: dict[str, Any] = {"steps": 1, "repeats": 1, "trace": "", "purpose": "memory"}
    plain = [job for job in jobs if job.plain]
    wanted = [job for job in plain if (job.algorithm, job.engine, job.devices) in shown]
    return [dataclasses.replace(job, frames=k, **changes) for job in wanted for k in frames]


def simulated_times(
    source: str, modules: Modules, step_seconds: float
) -> tuple[tuple[float, float], ...]:
    """Forward and backward seconds for simulated accelerators.

    Args:
      source: "equal", "flops", or anything else: the measured seconds in `modules`.
      step_seconds: the largest module's forward and backward time together; the others in
        proportion. In "equal" a backward pass takes twice its forward pass.
    """
    kind = {"equal": None, "flops": "flops"}.get(source, "seconds")
    pairs = [(1.0, 2.0)] * len(modules)
    if kind:
        pairs = [(m[f"forward_{kind}"], m[f"backward_{kind}"]) for m in modules]
    scale = step_seconds / max(sum(pair) for pair in pairs)
    return tuple((forward * scale, backward * scale) for forward, backward in pairs)


def device_seconds(job: Job, modules: Modules) -> list[float]:
    """How long each device works in a step, by module times alone.

    In Sideways module i goes backward gamma_i times only: not while the pipe fills.
    """
    counts = [job.frames] * len(modules)
    if job.algorithm == "sideways":
        depth = len(modules)
        counts = [schedule.gamma(i, depth, job.frames) for i in range(1, depth + 1)]
    forwards = 2 if job.engine == "gpipe" else 1
    slices = slice_seconds(job, modules)
    sums = [0.0] * (1 + max(device for each in slices for device, _, _ in each))
    for each, count in zip(slices, counts, strict=True):
        for device, forward, backward in each:
            sums[device] += forwards * job.frames * forward + count * backward
    return sums


def predicted_seconds(job: Job, modules: Modules) -> float | None:
    """Seconds of a step by module times alone; None where modules do not run frame by frame.

    BP runs one module at a time; Sideways keeps the fullest device at work; GPipe fills and
    drains its pipe twice and computes the forward pass twice.
    """
    frames, slices = job.frames, slice_seconds(job, modules)
    if job.engine == "pipelined":
        return max(device_seconds(job, modules))
    if job.engine == "frame_by_frame":
        return frames * sum(max(f for _, f, _ in x) + max(b for _, _, b in x) for x in slices)
    if job.engine == "gpipe":
        forward = [each[0][1] for each in slices]
        both = [each[0][1] + each[0][2] for each in slices]
        return sum(
            sum(costs) + (frames - 1) * max(balance.device_sums(costs, job.placement))
            for costs in (forward, both)
        )
    return None


def bound(job: Job, modules: Modules) -> float:
    """The largest speed-up of Sideways over BP with whole modules on as many devices."""
    loads, links = loads_of(modules), links_of(job)
    placed = job.shares or whole_shares(job.placement, modules)
    longest = max(shares.device_seconds(loads, placed, job.devices, links))
    alone = shares.whole(loads, job.devices) if job.shares else placed
    return sum(shares.device_seconds(loads, alone, job.devices, links)) / longest

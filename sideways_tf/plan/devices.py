"""Which module lives on which device."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.modules.wiring import Wiring
from sideways_tf.plan import balance, shares
from sideways_tf.plan.costs import costs
from sideways_tf.plan.times import measure

CONNECT_SECONDS = 5.0


def split_cpu(count: int) -> None:
    """Split the CPU into `count` logical devices, before TensorFlow starts.

    They share one thread pool: they prove placement and overlap, not speed.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * count
    present = tf.config.get_logical_device_configuration(cpu)
    if present is not None and len(present) == count:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError:
        raise UserError(
            f"--logical_cpus={count}: TensorFlow has started already with "
            f"{len(tf.config.list_logical_devices('CPU'))} CPU devices; ask for them first"
        ) from None


def connect_workers(addresses: str) -> None:
    """Connect to remote TensorFlow servers, host:port, comma-separated.

    Each address is tried first with a deadline: TensorFlow itself would hang on a dead one.
    Their devices are then listed as /job:worker/task:N/device:CPU:0 and so on.
    """
    names = [name.strip() for name in addresses.split(",") if name.strip()]
    own = "localhost"
    for name in names:
        host, _, port = name.rpartition(":")
        if not host or not port.isdigit():
            raise UserError(f"--workers: '{name}' is no address; give host:port")
        try:
            with socket.create_connection((host, int(port)), CONNECT_SECONDS) as there:
                own = there.getsockname()[0]
        except OSError as error:
            raise UserError(
                f"--workers: nobody answers at {name} ({error}); start a TensorFlow server there"
            ) from None
    # TensorFlow would tell the workers to fetch what they need from here at "localhost".
    here = f"[{own}]" if ":" in own else own
    jobs = {"worker": names, "localhost": [f"{here}:{_free_port()}"]}
    tf.config.experimental_connect_to_cluster(tf.train.ClusterSpec(jobs))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]


def find_devices(wanted: str | Sequence[str]) -> list[str]:
    """Full names of the logical devices that `wanted` says.

    Args:
      wanted: device names, a list or comma-separated, in the order of use; "gpu" is all GPUs;
        "auto" is all GPUs, else all CPUs, remote ones before local ones.

    Raises:
      UserError: naming the device that is not there and those that are.
    """
    there = [device.name for device in tf.config.list_logical_devices()]
    if wanted == "auto":
        remote = [name for name in there if "/job:worker/" in name]
        for kind in ("GPU", "CPU"):
            found = [name for name in remote or there if f"device:{kind}:" in name]
            if found:
                return found
    if wanted == "gpu":
        return all_gpus(there)
    names = {_canonical(name): name for name in there}
    devices = []
    for name in [part.strip() for part in wanted.split(",")] if isinstance(wanted, str) else wanted:
        if _canonical(name) not in names:
            raise UserError(
                f"--devices: there is no device '{name}'; there are {', '.join(sorted(names))}"
                " (--logical_cpus=N makes more CPU devices)"
            )
        devices.append(names[_canonical(name)])
    return devices


def all_gpus(there: Sequence[str]) -> list[str]:
    """The GPUs among the device names `there`; at least one."""
    found = [name for name in there if "device:GPU:" in name]
    if not found:
        raise UserError(
            f"--devices=gpu: TensorFlow sees no GPU here, only {', '.join(there)}; install its "
            "GPU libraries and driver, or choose CPU devices"
        )
    return found


def _canonical(name: str) -> str:
    """'gpu:0', '/GPU:0' and '/device:GPU:0' of this machine are 'GPU:0'; remote names stay long."""
    try:
        spec = tf.DeviceSpec.from_string(name if name.startswith("/") else f"/device:{name}")
    except ValueError:
        return name
    if spec.job == "worker":
        return f"/job:worker/task:{spec.task}/device:{spec.device_type}:{spec.device_index}"
    return f"{(spec.device_type or '').upper()}:{spec.device_index}"


def same_device(left: str, right: str) -> bool:
    """Whether two names, short or long, are of one device; "" is wherever TensorFlow likes."""
    return not left or not right or _canonical(left) == _canonical(right)


def place(
    placement: str,
    layers: Sequence[tf.keras.layers.Layer],
    frame: tf.TensorSpec,
    devices: Sequence[str],
    wiring: Wiring | None = None,
) -> list[str]:
    """A device for each module. Which one changes speed and nothing else.

    Args:
      placement: "one_per_module"; "balanced"; or a list, as in `device_numbers`.
      layers: one unbuilt Keras layer for each module.
      frame: shape [B, ...] and dtype of a batch of frames, on which "balanced" measures.
      devices: names of those that may be used, in order.
    """

    def seconds() -> list[float]:
        return [times.both for times in measure(layers, frame, devices[0], wiring=wiring)]

    return [devices[n] for n in device_numbers(placement, len(layers), devices, seconds)]


def place_wide(
    layers: Sequence[tf.keras.layers.Layer],
    frame: tf.TensorSpec,
    devices: Sequence[str],
    wiring: Wiring | None = None,
) -> list[tuple[str, list[tuple[str, int]]]]:
    """For each module its device, and all that share it, with their output channels.

    By counted operations, not by measured times: which device sums what would change from run to
    run, and with it the rounding. Args as of `place`.
    """
    loads = [
        shares.Load(
            float(cost.forward + cost.backward), cost.units, cost.in_bytes, cost.out_bytes,
            cost.parameter_bytes,
        )
        for cost in costs(layers, frame, wiring)
    ]  # fmt: skip
    plan = shares.widen(loads, len(devices))
    return [
        (devices[shares.lead(each)], [(devices[n], units) for n, units in each]) for each in plan
    ]


def device_numbers(
    placement: str,
    modules: int,
    devices: Sequence[str],
    seconds: Callable[[], Sequence[float]],
) -> list[int]:
    """A place in `devices`, from 0, for each of `modules`.

    Args:
      placement: "one_per_module": module i on device i; with fewer devices neighbours share one,
        as evenly in number as it goes. "balanced": contiguous groups with the smallest largest sum
        of seconds. Else one entry for each module, comma-separated: a number from 0, in the order
        of `devices`, or a device name.
      seconds: gives each module's forward and backward time; only called for "balanced".

    Raises:
      UserError: if a list has the wrong length, or names a device that there is not.
    """
    used = min(modules, len(devices))
    if placement == "one_per_module":
        return [i * used // modules for i in range(modules)]
    if placement == "balanced":
        return balance.numbered(balance.cut(seconds(), used)) if used > 1 else [0] * modules
    entries = [entry.strip() for entry in placement.split(",")]
    if len(entries) != modules:
        raise UserError(
            f"--placement={placement} has {len(entries)} entries, the network has {modules} "
            "modules: give one device for each, or one_per_module, or balanced"
        )
    return [_device_number(entry, devices) for entry in entries]


def _device_number(entry: str, devices: Sequence[str]) -> int:
    names = [_canonical(name) for name in devices]
    number = int(entry) if entry.isdecimal() else -1
    if _canonical(entry) in names:
        number = names.index(_canonical(entry))
    if not 0 <= number < len(devices):
        raise UserError(
            f"--placement: there is no device '{entry}'; there are {len(devices)}, from 0: "
            f"{', '.join(names)}"
        )
    return number

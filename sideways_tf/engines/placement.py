"""Which module lives on which device."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import tensorflow as tf

from sideways_tf.errors import UserError

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
    for name in names:
        host, _, port = name.rpartition(":")
        if not host or not port.isdigit():
            raise UserError(f"--workers: '{name}' is no address; give host:port")
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except OSError as error:
            raise UserError(
                f"--workers: nobody answers at {name} ({error}); start a TensorFlow server there"
            ) from None
    tf.config.experimental_connect_to_cluster(tf.train.ClusterSpec({"worker": names}))


def find_devices(wanted: str) -> list[str]:
    """Full names of the logical devices that `wanted` says.

    Args:
      wanted: comma-separated device names, in the order of use; "auto" is all GPUs, else all
        CPUs, remote ones before local ones.

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
    names = {_canonical(name): name for name in there}
    devices = []
    for name in (part.strip() for part in wanted.split(",")):
        if _canonical(name) not in names:
            raise UserError(
                f"--devices: there is no device '{name}'; there are {', '.join(sorted(names))}"
                " (--logical_cpus=N makes more CPU devices)"
            )
        devices.append(names[_canonical(name)])
    return devices


def _canonical(name: str) -> str:
    """'gpu:0', '/GPU:0' and '/device:GPU:0' of this machine are 'GPU:0'; remote names stay long."""
    try:
        spec = tf.DeviceSpec.from_string(name if name.startswith("/") else f"/device:{name}")
    except ValueError:
        return name
    if spec.job == "worker":
        return f"/job:worker/task:{spec.task}/device:{spec.device_type}:{spec.device_index}"
    return f"{(spec.device_type or '').upper()}:{spec.device_index}"


def spread(modules: int, devices: Sequence[str]) -> list[str]:
    """A device for each module: contiguous groups, as even as they go, in order.

    With more devices than modules the last ones stay free.
    """
    used = min(modules, len(devices))
    return [devices[i * used // modules] for i in range(modules)]

"""Two network namespaces joined by a link of a given rate and delay, to measure workers over.

    sudo python tools/slow_link.py --gbps=1 --delay_ms=0.2 &
    ip netns exec a sideways worker --workers=10.17.0.1:2222,10.17.0.2:2222 --index=0 --threads=1 &
    ip netns exec b sideways worker --workers=10.17.0.1:2222,10.17.0.2:2222 --index=1 --threads=1 &

Namespaces `a` (10.17.0.1) and `b` (10.17.0.2) have a TUN device each; two processes, one for each
direction, carry the packets over, each when a wire of that rate and length would have delivered it.
No `netem` is needed, which not every kernel has; where there is one, `tc` takes less of the
processor. Linux, as root; Ctrl-C takes both namespaces down again.
"""

from __future__ import annotations

import collections
import fcntl
import multiprocessing
import os
import select
import signal
import struct
import subprocess
import sys
import time

from sideways_tf import cli
from sideways_tf.errors import UserError
from sideways_tf.runs import options

FLAGS, define = options.new_flags()
define("gbps", 1.0, "Gbit/s, each way", low=1e-3)
define("delay_ms", 0.2, "milliseconds, each way", low=0)

ENDS = {"a": "10.17.0.1/24", "b": "10.17.0.2/24"}  # namespace -> its address
PACKET = 60_000  # bytes at most: large packets cost the relay less
# Of linux/if_tun.h: attach to a device of whole IP packets, with no header before them.
_ATTACH, _TUN, _NO_HEADER = 0x400454CA, 0x0001, 0x1000


def main(rest: list[str]) -> int:
    """Join the namespaces until the process is stopped."""
    if rest:
        raise UserError(f"'{rest[0]}' is no flag: --help lists them")
    if os.geteuid():
        raise UserError("only root makes network namespaces: run it by sudo")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    made: list[str] = []
    try:
        ends = [make_end(name, address, made) for name, address in ENDS.items()]
        os.nice(-15)  # Else packets wait for a core that computes.
        rate, delay = FLAGS.gbps * 1e9 / 8, FLAGS.delay_ms / 1e3
        back = multiprocessing.get_context("fork").Process(
            target=carry, args=(ends[1], ends[0], rate, delay), daemon=True
        )
        back.start()
        ends_said = ", ".join(f"{name} {address}" for name, address in ENDS.items())
        print(f"{ends_said}: {FLAGS.gbps:g} Gbit/s, {FLAGS.delay_ms:g} ms each way", flush=True)
        carry(ends[0], ends[1], rate, delay)
    except KeyboardInterrupt:
        pass
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False)
    return 0


def make_end(name: str, address: str, made: list[str]) -> int:
    """A namespace, noted in `made`, with a TUN device of that address; the device's file."""
    device = f"tun_{name}"
    run(f"ip netns add {name}")
    made.append(name)
    try:
        end = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(end, _ATTACH, struct.pack("16sH22x", device.encode(), _TUN | _NO_HEADER))
    except OSError as error:
        raise UserError(
            f"/dev/net/tun gives no device {device} ({error.strerror}): this needs a Linux kernel "
            "with TUN, and no other device of that name"
        ) from error
    run(f"ip link set {device} netns {name}")
    run(f"ip -n {name} link set lo up")
    run(f"ip -n {name} addr add {address} dev {device}")
    run(f"ip -n {name} link set {device} mtu {PACKET} up")
    return end


def run(command: str) -> None:
    """Run it, or say why it did not run."""
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"'{command}' failed: {done.stderr.strip()}")


def carry(source: int, sink: int, rate: float, delay: float) -> None:
    """Carry packets from one device to the other, for ever.

    Args:
      source, sink: files of TUN devices.
      rate: of the wire, bytes a second.
      delay: seconds from the last byte's leaving to its arrival.
    """
    free = 0.0  # When the wire will have taken in all that was sent.
    under_way: collections.deque[tuple[float, bytes]] = collections.deque()
    while True:
        now = time.monotonic()
        while under_way and under_way[0][0] <= now:
            os.write(sink, under_way.popleft()[1])
        wait = under_way[0][0] - now if under_way else None
        if select.select([source], [], [], wait)[0]:
            packet = os.read(source, PACKET)
            free = max(free, time.monotonic()) + len(packet) / rate
            under_way.append((free + delay, packet))


if __name__ == "__main__":
    cli.run(main)

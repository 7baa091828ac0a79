"""Sharing a network out over N devices, modules cut by output channels where that helps.

The work of all modules is laid in a row and cut into N parts of equal time, as far as whole
channels, modules that stay whole and slices of a sensible size allow. What devices send each other
is priced: bytes, from the shapes, over the speed of a device's link. No TensorFlow.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sideways_tf.plan import balance

# A slice has at least one of so many parts of its module: thinner ones read all of the input for
# little work.
THINNEST = (64, 16, 8, 4, 2)
# Kernels compute channels in blocks. A slice of broken ones is priced BROKEN above its share; on
# CPUs it takes 10 to 18 % more (docs/speed.md). Of plans within LOSS of the shortest, the one with
# the largest blocks.
BLOCKS = (16, 8, 1)
BROKEN = 0.08
LOSS = 0.02
ROUNDS = 40

# Of one module: (device from 0, output channels) of each slice; whole modules have one.
Shares = tuple[tuple[int, int], ...]


class Load(NamedTuple):
    """What a module costs at a computation step.

    Attributes:
      seconds: forward and backward, on one device.
      units: output channels that can be shared out; 0: it stays whole.
      in_bytes, out_bytes: of its input and its output, a batch of frames each.
      weight_bytes: of its trainable variables.
    """

    seconds: float
    units: int = 0
    in_bytes: int = 0
    out_bytes: int = 0
    weight_bytes: int = 0


class Transfer(NamedTuple):
    """Bytes that one device sends to another at a computation step, for module `module`, from 0."""

    module: int
    source: int
    target: int
    forward: int
    backward: int


class Links(NamedTuple):
    """Bytes per second at which what others send arrives at a device; 0: at once.

    Attributes:
      within: from devices of the same machine.
      between: from those of another one.
      per_machine: devices of a machine; 0: all are in one.
    """

    within: float = 0.0
    between: float = 0.0
    per_machine: int = 0

    def seconds(self, sent: Transfer, size: float) -> float:
        """Of `size` bytes on this way."""
        here = self.per_machine
        apart = here and sent.source // here != sent.target // here
        speed = self.between if apart else self.within
        return size / speed if speed else 0.0


FREE = Links()


def lead(shares: Shares) -> int:
    """The device that joins a module's slices: the one with the most channels."""
    return max(shares, key=lambda share: (share[1], -share[0]))[0]


def part(share: tuple[int, int], shares: Shares) -> float:
    """Which part of a module's work a slice has."""
    return share[1] / sum(units for _, units in shares)


def transfers(loads: Sequence[Load], placed: Sequence[Shares]) -> list[Transfer]:
    """What devices send each other at a computation step.

    A module's input, and the gradient from above; where it is shared out its input again to every
    other slice, their outputs to the lead, and back their gradients of weights and input. Slices of
    weights are sent once an episode: not counted.
    """
    leads, found = [lead(shares) for shares in placed], []
    for i, (load, shares) in enumerate(zip(loads, placed, strict=True)):
        mine, below = leads[i], leads[i - 1] if i else leads[i]
        above = leads[i + 1] if i + 1 < len(placed) else mine
        found.append(Transfer(i, below, mine, load.in_bytes, 0))
        found.append(Transfer(i, above, mine, 0, load.out_bytes))
        back_in = load.in_bytes if i else 0
        for share in shares:
            if share[0] != mine:
                mine_part = part(share, shares)
                out = round(mine_part * load.out_bytes)
                back = round(mine_part * load.weight_bytes) + back_in
                found.append(Transfer(i, below, share[0], load.in_bytes, 0))
                found.append(Transfer(i, mine, share[0], 0, out))
                found.append(Transfer(i, share[0], mine, out, back))
    return [sent for sent in found if sent.source != sent.target]


def waits(
    loads: Sequence[Load], placed: Sequence[Shares], links: Links
) -> list[dict[int, tuple[float, float]]]:
    """For each module, for each of its devices: seconds forward and backward until all is there."""
    found = [{device: (0.0, 0.0) for device, _ in shares} for shares in placed]
    for sent in transfers(loads, placed):
        up, down = found[sent.module][sent.target]
        more = links.seconds(sent, sent.forward), links.seconds(sent, sent.backward)
        found[sent.module][sent.target] = up + more[0], down + more[1]
    return found


def device_seconds(
    loads: Sequence[Load],
    placed: Sequence[Shares],
    devices: int,
    links: Links = FREE,
    broken: float = 0.0,
) -> list[float]:
    """How long each device is at work in a computation step; what arrives is waited for.

    A slice of broken blocks is counted `broken` more, as a part of its time.
    """
    sums = [0.0] * devices
    for load, shares in zip(loads, placed, strict=True):
        for share in shares:
            more = broken if len(shares) > 1 and share[1] % BLOCKS[0] else 0.0
            sums[share[0]] += load.seconds * part(share, shares) * (1 + more)
    if links != FREE:
        for there in waits(loads, placed, links):
            for device, seconds in there.items():
                sums[device] += sum(seconds)
    return sums


def whole(loads: Sequence[Load], devices: int) -> list[Shares]:
    """Contiguous groups of whole modules, the largest sum of seconds as small as it can be."""
    numbers = balance.numbered(balance.cut([load.seconds for load in loads], devices))
    return [((n, max(load.units, 1)),) for n, load in zip(numbers, loads, strict=True)]


def widen(loads: Sequence[Load], devices: int, links: Links = FREE) -> list[Shares]:
    """The best plan found: modules shared out where that makes a computation step shorter."""

    def longest(placed: Sequence[Shares]) -> float:
        return max(device_seconds(loads, placed, devices, links, BROKEN))

    plans = [(BLOCKS[0], whole(loads, devices)), *_candidates(loads, devices)]
    enough = min(longest(placed) for _, placed in plans) * (1 + LOSS)
    good = [(block, placed) for block, placed in plans if longest(placed) <= enough]
    return min(good, key=lambda pair: (-pair[0], sum(map(len, pair[1])), longest(pair[1])))[1]


def _candidates(loads: Sequence[Load], devices: int) -> Iterator[tuple[int, list[Shares]]]:
    """Plans that differ in which modules may be cut, how thin, and into multiples of what."""
    wanted = sum(load.seconds for load in loads) / devices
    for least, thinnest, block in itertools.product((0.0, 0.5, 1.0), THINNEST, BLOCKS):
        may = [load if load.seconds > least * wanted else load._replace(units=0) for load in loads]
        if (cut := _cut(may, devices, thinnest, block)) is not None:
            yield (
                block,
                [
                    ((shares[0][0], max(load.units, 1)),) if len(shares) == 1 else shares
                    for load, shares in zip(loads, cut, strict=True)
                ],
            )


def _cut(loads: Sequence[Load], devices: int, thinnest: int, block: int) -> list[Shares] | None:
    """The row of work cut for the smallest time that fits, by bisection."""
    high = sum(load.seconds for load in loads)
    low, best = high / devices, None
    for _ in range(ROUNDS):
        found = _fill(loads, devices, (low + high) / 2, thinnest, block)
        if found is None:
            low = (low + high) / 2
        else:
            best, high = found, (low + high) / 2
    return best


def _fill(
    loads: Sequence[Load], devices: int, room: float, thinnest: int, block: int
) -> list[Shares] | None:
    """One device after the other filled up to `room` seconds; None where they do not suffice."""
    device, used, placed = 0, 0.0, []
    for load in loads:
        units = max(load.units, 1)
        thin = max(1, -(-units // thinnest)) if load.units else units
        left, shares = units, []
        while left:
            fits = left
            if load.seconds > 0:
                fits = min(left, int((room - used) / load.seconds * units))
            if fits < left:
                fits = min(fits, left - thin)  # What is left for the next device is no thinner.
                fits -= fits % block
            if fits < min(thin, left):
                if used == 0.0:
                    return None  # Not even alone.
                device, used = device + 1, 0.0
                if device == devices:
                    return None
                continue
            shares.append((device, fits))
            used += load.seconds * fits / units
            left -= fits
        placed.append(tuple(shares))
    return placed


def gain(
    loads: Sequence[Load], placed: Sequence[Shares], devices: int, links: Links = FREE
) -> float:
    """How many times faster a computation step is than with whole modules, over these links."""
    best = max(device_seconds(loads, whole(loads, devices), devices, links))
    return best / max(device_seconds(loads, placed, devices, links))


def break_even(loads: Sequence[Load], placed: Sequence[Shares], devices: int) -> float:
    """Bytes per second of a link below which `placed` gains nothing over whole modules; 0: none."""
    low, high = 1.0, 1e15
    if gain(loads, placed, devices, Links(low)) > 1:
        return 0.0
    for _ in range(100):
        middle = (low * high) ** 0.5
        faster = gain(loads, placed, devices, Links(middle)) > 1
        low, high = (low, middle) if faster else (middle, high)
    return high

"""Bytes on each device, from shapes: Sideways, BP, GPipe and data-parallel BP. No TensorFlow.

What a framework needs for itself, and kernels while they run, comes on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sideways_tf.plan.shares import Shares, lead, part

# Steps of Sideways that may be in flight at once, each with its activations: an upper bound.
IN_FLIGHT = 4
ALGORITHMS = ("sideways", "bp", "gpipe", "data-parallel")


class Size(NamedTuple):
    """Bytes of one module: of its trained weights; for a batch of frames, of its input, its output
    and all that its forward pass computes.
    """

    weights: int
    h_in: int
    h_out: int
    activations: int


class Memory(NamedTuple):
    """Bytes of one device.

    Attributes:
      weights: and, where it has a slice of a module, that slice twice: in use, and its place.
      moments: of the optimizer.
      gradients: of one step, and summed over steps.
      activations: needed for a backward pass.
      buffers: what waits in the pipe, or (GPipe) is kept of all frames; the clip.
    """

    weights: int = 0
    moments: int = 0
    gradients: int = 0
    activations: int = 0
    buffers: int = 0

    def plus(self, *more: int) -> Memory:
        """With more of each."""
        return Memory(*(a + b for a, b in zip(self, more, strict=True)))


def by_device(
    algorithm: str,
    sizes: Sequence[Size],
    placed: Sequence[Shares],
    devices: int,
    frames: int,
    moments: int,
) -> list[Memory]:
    """Memory of each device.

    Args:
      algorithm: one of ALGORITHMS; BP frame by frame, data-parallel BP with all frames at once.
      sizes: of each module.
      placed: where they are; of no meaning to "data-parallel".
      frames: K.
      moments: how many numbers the optimizer keeps for each weight.
    """
    clip = frames * sizes[0].h_in
    if algorithm == "data-parallel":
        weights = sum(size.weights for size in sizes)
        activations = frames * sum(size.activations for size in sizes) // devices
        each = Memory(weights, moments * weights, weights, activations, clip // devices)
        return [each] * devices
    found = [Memory()] * devices
    for i, (size, shares) in enumerate(zip(sizes, placed, strict=True)):
        mine = lead(shares)
        steps = IN_FLIGHT if algorithm == "sideways" else 1
        joined = size.h_out if len(shares) > 1 else 0
        found[mine] = found[mine].plus(
            size.weights, moments * size.weights, 2 * size.weights, steps * joined,
            _buffers(algorithm, size, i, frames, last=i + 1 == len(sizes)),
        )  # fmt: skip
        for share in shares:
            of_all = part(share, shares)
            sent = round(2 * of_all * size.weights) if len(shares) > 1 else 0
            activations = steps * round(of_all * size.activations)
            found[share[0]] = found[share[0]].plus(sent, 0, 0, activations, 0)
    first = lead(placed[0])
    found[first] = found[first].plus(0, 0, 0, 0, clip)
    return found


def _buffers(algorithm: str, size: Size, i: int, frames: int, last: bool) -> int:
    below = size.h_in if i else 0
    if algorithm == "gpipe":  # Inputs of all frames (module 1's are the clip), and all outputs.
        return frames * (below + (size.h_out if last else 0)) + below + size.h_out
    # Activation and pseudo-gradient, at rest and on their way.
    return 2 * (size.h_out + below)

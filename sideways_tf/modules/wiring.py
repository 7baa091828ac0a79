"""Which module reads which, and from which step on all that it reads is real. No tensors.

Module i always reads module i - 1. A skip is one more edge, from a source s to a target r > s; an
edge of delay d brings at step t what the source emitted at step t - d. Letters as in
`engines/schedule.py`. A module works from its first step F_i on, when all that it reads stems from
frames; and learns from B_i on, when all of its readers have sent something that stems from a loss:

    F_1 = 1       F_r = max over the edges (s, r, d) of F_s + d
    B_D = F_D     B_s = max over the edges (s, r, d) of B_r + 1      pseudo-gradients take one step

Without skips, F_i = i and B_i = 2D - i. That is also so with skips whose delay is at most r - s:
the row of modules is the longest way.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sideways_tf.errors import UserError

JOINS = ("add", "concat")


class Edge(NamedTuple):
    """`target` reads `source`, as it was `delay` computation steps ago; modules count from 1."""

    source: int
    target: int
    delay: int = 1


@dataclass(frozen=True)
class Wiring:
    """D = `depth` modules in a row, and the skips between them.

    Attributes:
      skips: sorted, each from a module to a later one; of delay 1 only past the next one.
      join: what a module makes of all that it reads, the row first, then the skips in their order:
        "add", the sum; or "concat", along the last axis.
    """

    depth: int
    skips: tuple[Edge, ...] = ()
    join: str = "add"

    @functools.cached_property
    def edges(self) -> tuple[Edge, ...]:
        """The row of modules, then the skips."""
        return (*(Edge(i, i + 1) for i in range(1, self.depth)), *self.skips)

    def into(self, module: int) -> list[Edge]:
        """The edges that `module` reads, in the order in which they are joined."""
        return [edge for edge in self.edges if edge.target == module]

    def out_of(self, module: int) -> list[Edge]:
        """The edges to the readers of `module`, that of the next one first."""
        return [edge for edge in self.edges if edge.source == module]

    def older(self, module: int) -> int:
        """How many steps beyond the last one its readers reach back for what it emitted."""
        return max((edge.delay for edge in self.out_of(module)), default=1) - 1

    @functools.cached_property
    def _firsts(self) -> list[int]:
        firsts = [1]
        for i in range(2, self.depth + 1):
            firsts.append(max(firsts[edge.source - 1] + edge.delay for edge in self.into(i)))
        return firsts

    def first_forward(self, module: int) -> int:
        """F_i: the first step at which all that `module` reads is real."""
        return self._firsts[module - 1]

    def first_backward(self, module: int) -> int:
        """B_i: the first step at which gamma_i^t = 1."""
        # A pseudo-gradient goes one step along each edge, and the row is the longest way.
        return self.first_forward(self.depth) + self.depth - module

    @property
    def cycle(self) -> int:
        """Steps until module 1 learns first; 2D - 1 without skips."""
        return self.first_backward(1)

    def gamma(self, module: int, steps: int) -> int:
        """gamma_i: at how many of `steps` computation steps `module` learns."""
        return max(0, steps - self.first_backward(module) + 1)

    def frames_seen(self, module: int, steps: int) -> int:
        """At how many of `steps` computation steps `module` works."""
        return max(0, steps - self.first_forward(module) + 1)

    @functools.cached_property
    def _shortest(self) -> list[int]:
        """Steps of the fastest way from each module to module D."""
        found = [0] * self.depth
        for i in range(self.depth - 1, 0, -1):
            found[i - 1] = min(edge.delay + found[edge.target - 1] for edge in self.out_of(i))
        return found

    def shortest(self, module: int) -> int:
        """Steps of the fastest way from `module` to module D."""
        return self._shortest[module - 1]

    @property
    def latency(self) -> int:
        """An output appears so many steps after the newest frame in it has entered."""
        return self.shortest(1)

    @property
    def history(self) -> int:
        """How much older than the newest frame in an output the oldest one is, in frames.

        0: every output is that of one frame, all ways take equally long.
        """
        return self.first_forward(self.depth) - 1 - self.latency

    def check_episode(self, steps: int) -> None:
        """Refuse an episode that ends before the first gradient reaches module 1.

        Raises:
          UserError: if `steps` < B_1.
        """
        if self.skips and steps < self.cycle:
            raise UserError(
                f"{steps} frames are too few for {self.depth} modules with these skips: module 1 "
                f"would never be trained; use at least {self.cycle} frames"
            )


def make_wiring(
    depth: int, skips: Sequence[Sequence[int]] = (), join: str = "add", align: bool = False
) -> Wiring:
    """The wiring that a user has asked for.

    Args:
      depth: D.
      skips: (source, target) or (source, target, delay), modules from 1.
      align: the delay of a skip that names none: True, target - source, so that it meets its own
        frame; False, 1.

    Raises:
      UserError: naming the skip that there cannot be.
    """
    if join not in JOINS:
        raise UserError(f"join={join}: give one of {', '.join(JOINS)}")
    edges = [_edge(depth, skip, align) for skip in skips]
    for edge in edges:
        if edges.count(edge) > 1:
            raise UserError(f"skips: {tuple(edge)} is there twice; give it once")
    return Wiring(depth, tuple(sorted(edges)), join)


def _edge(depth: int, skip: Sequence[int], align: bool) -> Edge:
    numbers = tuple(skip) if isinstance(skip, Sequence) and not isinstance(skip, str) else ()
    if len(numbers) not in (2, 3) or not all(type(n) is int for n in numbers):
        raise UserError(
            f"skips: {skip!r} is none; give (source, target) or (source, target, delay), modules "
            "from 1, the delay in steps"
        )
    source, target = numbers[:2]
    if not 1 <= source < target <= depth:
        raise UserError(
            f"skips: {numbers} does not lead forward from one of the modules 1 to {depth} to "
            "another"
        )
    usual = target - source if align else 1
    edge = Edge(source, target, numbers[2] if len(numbers) == 3 else usual)
    if edge.delay < 1:
        raise UserError(f"skips: {numbers} has a delay of {edge.delay} steps; give 1 or more")
    if target == source + 1 and edge.delay == 1:
        raise UserError(
            f"skips: module {target} reads module {source} at a delay of 1 anyway; leave "
            f"{numbers} out, or give it a longer delay"
        )
    return edge

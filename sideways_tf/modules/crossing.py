"""A Keras model cut anywhere: where branches cross a cut, the modules read each other by skips.

A module sends all of its values that a later one needs, flat and side by side, [B, n]; a module
takes from what it reads, joined by concatenation, the values that it needs. Where no branch
crosses, they go as they are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.modules.split import Call, Parts, Piece, _is_functional, _program, known_frame
from sideways_tf.plan import balance


class Branch(Piece):
    """A part of a model, from several values of it to several.

    Args:
      calls: in an order in which they can be made.
      reads: (number, first place, shape of an example) of the values in a flat input; () where the
        input is the value `source` itself.
      sends: numbers of the values that go out, flat; of one alone, as it is, where `flat` is False.
    """

    def __init__(
        self,
        calls: Sequence[Call],
        source: int,
        reads: Sequence[tuple[int, int, tuple[int, ...]]],
        sends: Sequence[int],
        flat: bool,
        **kwargs: Any,
    ):
        super().__init__(calls, source, sends[0], **kwargs)
        self._reads, self._sends, self._flat = tuple(reads), tuple(sends), flat

    def call(self, h: tf.Tensor, training: Any = None) -> tf.Tensor:
        """[B, ...] -> [B, ...]."""
        values = {} if self._reads else {self._ends[0]: h}
        for number, start, shape in self._reads:
            part = h[:, start : start + math.prod(shape)]
            values[number] = tf.reshape(part, [-1, *shape])
        self.run(values)
        if not self._flat:
            return values[self._sends[0]]
        flat = [tf.reshape(values[n], [-1, math.prod(values[n].shape[1:])]) for n in self._sends]
        return flat[0] if len(flat) == 1 else tf.concat(flat, -1)

    def again(self, calls: Sequence[Call]) -> Branch:
        """The same with other calls."""
        source = self._ends[0]
        return Branch(calls, source, self._reads, self._sends, self._flat, name=self.name)


def cut_across(
    network: tf.keras.Model, modules: int, frame: tf.TensorSpec | None, align: bool
) -> Parts:
    """Cut a functional model into `modules` parts with even operations, anywhere.

    Args:
      align: True: what crosses is delayed to meet its own frame; False: it comes in one step.

    Raises:
      UserError: if there are too few layers, or what crosses cannot go side by side.
    """
    if not _is_functional(network):
        raise UserError(
            f"align={align}: '{getattr(network, 'name', network)}' has no graph of layers to be "
            "cut across; give a functional Keras model, or leave align out"
        )
    calls, source, target = _program(network)
    if not 1 <= modules <= len(calls):
        raise UserError(f"modules={modules}: '{network.name}' has {len(calls)} layers; give fewer")
    specs, costs = _traced(calls, frame or known_frame(network))
    sizes = balance.cut(costs, modules)
    ends = list(itertools.accumulate(sizes))
    groups = [calls[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    return _Crossing(groups, source, target, specs).parts(align)


def _traced(calls: Sequence[Call], frame: tf.TensorSpec) -> tuple[dict[int, Any], list[float]]:
    """The spec of each value, and the operations of each call, backward as twice forward."""
    from sideways_tf.plan.costs import count_scopes

    specs: dict[int, tf.TensorSpec] = {}

    def run(h: tf.Tensor) -> tf.Tensor:
        values = {0: h}
        for i, call in enumerate(calls):
            with tf.name_scope(f"unit{i}"):
                call.make(values)
        specs.update({n: tf.TensorSpec(v.shape, v.dtype) for n, v in values.items()})
        return values[calls[-1].outputs[0]]

    counts = count_scopes(run, frame, len(calls))
    return specs, [float(n * (2 if i == 0 else 3)) for i, n in enumerate(counts)]


class _Crossing:
    """Which module makes, needs and sends which values; modules count from 1."""

    def __init__(
        self, groups: Sequence[Sequence[Call]], source: int, target: int, specs: dict[int, Any]
    ):
        self.groups, self.source, self.target, self.specs = groups, source, target, specs
        self.maker = {source: 1}
        for i, group in enumerate(groups, 1):
            self.maker.update({n: i for call in group for n in call.outputs})
        self.needs = [
            sorted(
                {n for call in group for n in call.inputs.values() if self.maker[n] < i}
                | ({target} if i == len(groups) and self.maker[target] < i else set())
            )
            for i, group in enumerate(groups, 1)
        ]
        needed = {n for needs in self.needs for n in needs}
        self.sends = [
            sorted(n for n in needed if self.maker[n] == i) or [group[-1].outputs[0]]
            for i, group in enumerate(groups, 1)
        ]
        self.sends[-1] = [target]

    def parts(self, align: bool) -> Parts:
        """The layers, and the skips between them."""
        sources = [
            sorted({self.maker[n] for n in needs} - {i - 1})
            for i, needs in enumerate(self.needs, 1)
        ]
        skips = [(s, i, i - s if align else 1) for i, each in enumerate(sources, 1) for s in each]
        flat = bool(skips) or any(len(sends) > 1 for sends in self.sends)
        if flat:
            self._check_types()
        return Parts(
            (self._branch(i, flat, sources[i - 1]) for i in range(1, len(self.groups) + 1)), skips
        )

    def _branch(self, i: int, flat: bool, sources: Sequence[int]) -> Piece:
        calls, sends, last = self.groups[i - 1], self.sends[i - 1], i == len(self.groups)
        source = self.source if i == 1 else self.sends[i - 2][0]
        reads, start = [], 0
        for s in [i - 1, *sources] if flat and i > 1 else []:
            for n in self.sends[s - 1]:
                shape = tuple(self.specs[n].shape[1:])
                if n in self.needs[i - 1]:
                    reads.append((n, start, shape))
                start += math.prod(shape)
        return Branch(calls, source, reads, sends, flat and not last)

    def _check_types(self) -> None:
        crossing = {n for sends in self.sends[:-1] for n in sends}
        kinds = {self.specs[n].dtype.name for n in crossing}
        shapes = [self.specs[n].shape for n in crossing]
        if len(kinds) > 1:
            raise UserError(
                f"values of several types cross the cuts ({', '.join(sorted(kinds))}), which "
                "cannot go side by side: cut into other modules, or leave align out"
            )
        if any(shape.rank is None or None in shape[1:] for shape in shapes):
            raise UserError(
                "a value without a known shape crosses the cuts: give the model an Input of known "
                "size, or leave align out"
            )

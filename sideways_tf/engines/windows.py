"""Windows of L steps: what a module sums up over one, and its update at the end.

The table at the head of `scan.py` shows where windows end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sideways_tf.engines.loss_scale import all_finite
from sideways_tf.engines.network import Network, State
from sideways_tf.engines.passes import mean_with_penalty, zero_gradients
from sideways_tf.engines.scheme import Learnt, Scheme

# (module, from 0; its averaged pseudo-gradients): one update, in the module's place.
Update = Callable[[int, list[tf.Tensor]], None]


class Window(NamedTuple):
    """What is summed up: see `Scanned`. `counts`, int32 []: due steps of the open window."""

    sums: list[list[tf.Tensor]]
    mean: list[tf.Tensor]
    norm: list[tf.Tensor]
    updates: list[tf.Tensor]
    skipped: list[tf.Tensor]
    counts: list[tf.Tensor]


class Windows:
    """Sums of each module over a window of L steps, and its update at the window's end."""

    def __init__(
        self,
        scheme: Scheme,
        network: Network,
        every: int,
        update: Update | None,
        last: tf.Tensor | None,
        statistics: bool = True,
    ):
        self.statistics = statistics
        self.scheme, self.network, self.every = scheme, network, every
        self.update, self.last = update, last

    def open(self) -> Window:
        """Nothing yet. With L = 1 a window is one step: there is nothing to sum."""
        modules = self.network.modules
        sums = [[] if self.every == 1 else zero_gradients(module) for module in modules]
        if not self.every:
            return Window(sums, [], [], [], [], [])
        zeros = [tf.zeros([]) for _ in modules]
        counts = [tf.constant(0) for _ in modules]
        return Window(sums, zeros, list(zeros), counts, list(counts), list(counts))

    def take(self, state: State, window: Window, learnt: Sequence[Learnt]) -> Window:
        """Step t, which leads to `state`: sum up; update the modules whose window ends."""
        columns: list[list[Any]] = [[] for _ in window]
        for i, (module, found) in enumerate(zip(self.network.modules, learnt, strict=True)):
            with tf.device(module.device):
                new, sums = found.pseudo_gradients, window.sums[i]
                total = [a + b for a, b in zip(sums, new, strict=True)] if sums else new
                if not self.every:
                    columns[0].append(total)
                    continue
                row = tuple(column[i] for column in window)
                if self.network.here(i + 1):
                    row = self._module(i, state, total, window)
            for column, value in zip(columns, row, strict=True):
                column.append(value)
        return Window(*columns)

    def _module(self, i: int, state: State, total: list[tf.Tensor], window: Window) -> tuple:
        """The row of module i + 1 after step t, which leads to `state`."""
        module, wiring, t = self.network.modules[i], self.network.wiring, state.t
        due = self.scheme.due(wiring, i + 1, t)
        count = window.counts[i] + tf.cast(due, tf.int32)
        now = due & self._ends(self.scheme.next_due(wiring, t), t)

        def learn() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            return self._learn(i, mean_with_penalty(module, total, count), state.scale_at(i + 1))

        nothing = tf.zeros([]), tf.zeros([]), tf.constant(0)
        mean, norm, made = tf.cond(now, learn, lambda: nothing)
        sums = [] if self.every == 1 else [tf.where(now, tf.zeros_like(x), x) for x in total]
        return (
            sums,
            window.mean[i] + mean,
            window.norm[i] + norm,
            window.updates[i] + made,
            window.skipped[i] + tf.cast(now, tf.int32) - made,
            tf.where(now, 0, count),
        )

    def _learn(
        self, i: int, mean: list[tf.Tensor], scale: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Update module i + 1, if its pseudo-gradient is finite: mean, norm, updates made.

        What is not finite is shown only where no smaller loss scale will help.
        """
        nothing = tf.zeros([]), tf.zeros([])
        statistics = module_statistics(mean) if self.statistics else nothing
        if scale is None:
            return *statistics, self._apply(i, mean)
        assert self.network.loss_scale is not None
        good = all_finite(mean)
        made = tf.cond(good, lambda: self._apply(i, mean), lambda: tf.constant(0))
        shown = good | self.network.loss_scale.stuck(scale)
        seen = [tf.where(shown, number, tf.zeros_like(number)) for number in statistics]
        return *seen, made

    def _apply(self, i: int, mean: list[tf.Tensor]) -> tf.Tensor:
        """Update module i + 1: 1."""
        assert self.update is not None
        if mean:
            self.update(i, mean)
        return tf.constant(1)

    def scaled(
        self, state: State, before: Window, after: Window, learnt: Sequence[Learnt]
    ) -> State:
        """`state` with the scales of the next step, where there is a loss scale."""
        if not (self.every and state.scales):
            return state
        assert self.network.loss_scale is not None
        bad = [~all_finite(found.pseudo_gradients) for found in learnt]
        updated = after.updates[-1] > before.updates[-1]
        (scales,) = state.scales
        return state._replace(
            scales=[self.network.loss_scale.after(scales, tf.stack(bad), updated)]
        )

    def _ends(self, following: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
        """Whether step t is the last due one of its window, if the next one is `following`."""
        ends = (following - 1) // self.every > (t - 1) // self.every
        return ends if self.last is None else ends | (following > self.last)


def module_statistics(pseudo_gradients: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and L2 norm over all numbers of a module's averaged pseudo-gradient, float32 []."""
    numbers = [tf.reshape(tf.cast(g, tf.float32), [-1]) for g in pseudo_gradients]
    flat = tf.concat(numbers, 0) if numbers else tf.zeros([1])
    return tf.reduce_mean(flat), tf.norm(flat)

"""A module wider than one device: its output channels are shared out, exactly.

Two devices, a convolution of C channels ("|" cuts along the channels):

    device 0 (the module's own)               h -> channels 0 .. a      -+
    device 1                      h sent  ->  h -> channels a .. C      -+-> joined on device 0
    and back:      the gradient from above is cut | each device goes back through its channels,
                   to its weights and to h | gradients of weights are joined, those of h are added

The variables stay the module's own, whole ones; slices of their values are sent out: once an
episode where weights stand still for it (`weights_held`), else at every computation step. Batch
norm's statistics are by channel, a mask of dropout is drawn for the whole module and cut: no number
changes, but for the order in which the gradient of h is summed.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.modules.slicing import RULES, STATISTICS, chain_of, check_slices
from sideways_tf.modules.step import Step, plain

if TYPE_CHECKING:
    from sideways_tf.modules.block import SidewaysBlock


class Slice(NamedTuple):
    """A device and how many of a module's output channels it computes."""

    device: str
    units: int


class Pair(NamedTuple):
    """A variable of the module; that of a slice which stands for a part of it; the cut axis."""

    whole: tf.Variable
    own: tf.Variable
    axis: int


class Chain(tf.keras.layers.Layer):
    """Layers in a row, those of one slice."""

    def __init__(self, parts: Sequence[tf.keras.layers.Layer], **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.parts = list(parts)

    def call(self, h: tf.Tensor, training: Any = None) -> tf.Tensor:
        """h_{i-1} [B, ...] -> the slice's channels of h_i."""
        for layer in self.parts:
            h = layer(h)
        return h


class Wide:
    """The slices of one module.

    Args:
      layer: the module's layer, built.
      slices: device and channels of each, in the channels' order.
      h_in: of the module's input.

    Raises:
      UserError: if the layer cannot be shared out so.
    """

    def __init__(self, layer: tf.keras.layers.Layer, slices: Sequence[Slice], h_in: tf.TensorSpec):
        self.slices, self.counts = list(slices), [each.units for each in slices]
        check_slices(layer, self.counts)
        self.layers = chain_of(layer) or []
        self.chains: list[Chain] = []
        # Of each slice: its weights, and the statistics that batch norm moves.
        self.weights: list[list[Pair]] = []
        self.statistics: list[list[Pair]] = []
        # Slices of all weights, [slice][weight], where they were read once for many steps.
        self.held: list[list[tf.Tensor]] | None = None
        for n, each in enumerate(slices):
            start = sum(self.counts[:n])
            with tf.device(each.device):
                self._make_slice(start, start + each.units, h_in.shape)

    def _make_slice(self, start: int, stop: int, shape: tf.TensorShape) -> None:
        """Layers of the channels `start` .. `stop`, whose own variables are never read."""
        parts: list[tf.keras.layers.Layer] = []
        weights: list[Pair] = []
        statistics: list[Pair] = []
        for layer in self.layers:
            rule = RULES.get(type(layer))
            own = rule.part(layer, start, stop) if rule else layer
            if rule and not own.built:
                own.build(shape)
            shape = own.compute_output_shape(shape)
            parts.append(own)
            for name, axis in (rule.axes if rule else {}).items():
                if getattr(layer, name, None) is not None:
                    pair = Pair(plain(getattr(layer, name)), plain(getattr(own, name)), axis)
                    (statistics if name in STATISTICS else weights).append(pair)
        self.chains.append(Chain(parts))
        self.weights.append(weights)
        self.statistics.append(statistics)

    # -- weights ----------------------------------------------------------------------------------

    def cut(self) -> list[list[tf.Tensor]]:
        """The present values of the weights, [slice][weight], each on its slice's device."""
        columns = [tf.split(pair.whole, self.counts, pair.axis) for pair in self.weights[0]]
        parts = []
        for each, row in zip(self.slices, zip(*columns, strict=True), strict=True):
            with tf.device(each.device):
                parts.append([tf.identity(value) for value in row])
        return parts

    def taken(self) -> list[list[tf.Tensor]]:
        """As `cut`, for one pass; those held, where they were read before."""
        if self.held is None:
            return self.cut()
        parts = []
        for each, row in zip(self.slices, self.held, strict=True):
            with tf.device(each.device):  # Of the pass' own graph, for its tape.
                parts.append([tf.identity(value) for value in row])
        return parts

    def sources(self, parts: list[list[tf.Tensor]], trained: Sequence[Any]) -> list[tf.Tensor]:
        """Of `parts`, those that gradients are taken of: of each trained variable all slices."""
        return [part[self._place(v)] for v in trained for part in parts]

    def joined(self, gradients: Sequence[tf.Tensor], trained: Sequence[Any]) -> list[tf.Tensor]:
        """Gradients of `sources` as those of the whole variables."""
        count = len(self.slices)
        rows = [gradients[n : n + count] for n in range(0, len(gradients), count)]
        axes = [self.weights[0][self._place(v)].axis for v in trained]
        return [tf.concat(row, axis) for row, axis in zip(rows, axes, strict=True)]

    def _place(self, variable: Any) -> int:
        refs = [pair.whole.ref() for pair in self.weights[0]]
        return refs.index(plain(variable).ref())

    # -- a pass -----------------------------------------------------------------------------------

    def forward(self, h: tf.Tensor, step: Step) -> tf.Tensor:
        """h_{i-1} -> h_i, joined on the device of the caller; `step.memory` moves on."""
        if tf.executing_eagerly() or step.folded:
            raise UserError(
                "a module that is shared out over several devices runs step by step, in a graph: "
                "leave run_eagerly out, and use engine=pipelined (bp: frame_by_frame)"
            )
        parts, draws, outs, moved = step.slices or self.taken(), step.draws, [], []
        columns = [self._statistic(pair, step) for pair in self.statistics[0]]
        for n, part in enumerate(parts):
            step.draws = draws  # Each slice draws what the whole module would.
            out, after = self._run(n, h, part, [column[n] for column in columns], step)
            outs.append(out)
            moved.append(after)
        for pair, *after in zip(self.statistics[0], *moved, strict=True):
            if None not in after:
                step.memory[pair.whole.ref()] = tf.concat(after, pair.axis)
        return tf.concat(outs, -1)

    def _statistic(self, pair: Pair, step: Step) -> list[tf.Tensor]:
        # A frozen batch norm's do not move, and are none of the module's memory.
        return tf.split(step.memory.get(pair.whole.ref(), pair.whole), self.counts, pair.axis)

    def _run(
        self, n: int, h: tf.Tensor, weights: list[tf.Tensor], statistics: list, step: Step
    ) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
        """Output of slice n, and its statistics (None: not moved), on its device, as is what goes
        back through it."""
        pairs, device = [*self.weights[n], *self.statistics[n]], self.slices[n].device
        start = sum(self.counts[:n])
        inner = dataclasses.replace(
            step, slices=None, channels=(start, start + self.counts[n], sum(self.counts))
        )
        floats = [h] if h.dtype.is_floating else []
        moves: list[bool] = []

        @tf.custom_gradient
        def run(*inputs: tf.Tensor) -> tuple:
            given = [*inputs[len(floats) :], *statistics]
            before = {pair.own.ref(): x for pair, x in zip(pairs, given, strict=True)}
            inner.memory = dict(before)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(list(inputs))
                with inner.active([pair.own for pair in pairs]):
                    out = self.chains[n](inputs[0] if floats else h, training=True)
            refs = [pair.own.ref() for pair in self.statistics[n]]
            moves[:] = [inner.memory[ref] is not before[ref] for ref in refs]
            after = [tf.stop_gradient(inner.memory[ref]) for ref in refs]

            def back(above: tf.Tensor, *_: tf.Tensor) -> list[tf.Tensor]:
                with tf.device(device):
                    return tape.gradient(
                        out, list(inputs), tf.identity(above), unconnected_gradients="zero"
                    )

            return (out, *after), back

        with tf.device(device):
            self._follow(n)
            out, *after = run(*floats, *weights)
        step.draws = inner.draws
        return out, [x if moved else None for x, moved in zip(after, moves, strict=True)]

    def _follow(self, n: int) -> None:
        """Frozen layers are frozen in their slices, too."""
        for layer, own in zip(self.layers, self.chains[n].parts, strict=True):
            if own is not layer:
                own.trainable = layer.trainable


@contextlib.contextmanager
def weights_held(modules: Sequence[SidewaysBlock]) -> Iterator[None]:
    """Within: weights do not move, so that their slices are sent to their devices but once."""
    wides = [module.wide for module in modules if module.wide is not None]
    for module in modules:
        if module.wide is not None:
            with tf.device(module.device):
                module.wide.held = module.wide.cut()
    try:
        yield
    finally:
        for wide in wides:
            wide.held = None

"""The one interface of all engines: a clip and its targets in, an `Episode` out."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from sideways_tf.engines import schedule
from sideways_tf.engines.loss_scale import LossScale
from sideways_tf.engines.network import Network
from sideways_tf.engines.passes import (
    Loss,
    mean_with_penalty,
    module_seeds,
    weight_penalties,
)
from sideways_tf.engines.scan import Clock, Scanned, scan
from sideways_tf.engines.scheme import Scheme
from sideways_tf.engines.windows import Update
from sideways_tf.errors import UserError
from sideways_tf.modules.apart import folded_statistics
from sideways_tf.modules.block import SidewaysBlock
from sideways_tf.modules.step import plain
from sideways_tf.modules.wiring import Wiring


class Episode(NamedTuple):
    """What an engine returns for one clip.

    Attributes:
      loss: float [], mean over the frames that got a loss, and what layers and regularizers add.
      outputs: float [T, B, ...], h_D of those frames, in order. BP: T = K; Sideways:
        T = K - D + 1.
      pseudo_gradients: for each module, for each of its trainable variables, in their order: the
        mean over the gamma_i steps (eq. 5). In BP they are the gradients, over all frames.
    """

    loss: tf.Tensor
    outputs: tf.Tensor
    pseudo_gradients: list[list[tf.Tensor]]


class Engine(abc.ABC):
    """Computes the (pseudo-)gradients of one episode; never changes a weight.

    Args:
      modules, loss, masks, loss_scale, wiring: see `Network`.

    Raises:
      UserError: if the engine does not run such a wiring.
    """

    # Whether an episode shorter than the update cycle would leave module 1 untrained.
    needs_cycle = False

    # Which skips it runs: "all"; "aligned", of one frame to itself; "none".
    skips = "all"

    def __init__(
        self,
        modules: Sequence[SidewaysBlock],
        loss: Loss,
        masks: str = "episode",
        loss_scale: LossScale | None = None,
        wiring: Wiring | None = None,
    ):
        self.network = Network(modules, loss, masks, loss_scale, wiring)
        self._check_skips()
        self._built: tf.TensorSpec | None = None
        self._graph = tf.function(self._run, autograph=False)

    def compile_whole(self) -> None:
        """Let XLA compile the episode, before it is first run: on one device only.

        Raises:
          UserError: if the modules take several.
        """
        used = {name for module in self.modules for name in module.devices}
        if len(used) > 1:
            raise UserError(f"XLA compiles for one device, the modules take {len(used)}")
        self._graph = tf.function(self._run, autograph=False, jit_compile=True)

    @property
    def modules(self) -> list[SidewaysBlock]:
        """H_1 .. H_D."""
        return self.network.modules

    @property
    def depth(self) -> int:
        """D."""
        return self.network.depth

    @property
    def wiring(self) -> Wiring:
        """Which module reads which."""
        return self.network.wiring

    def _check_skips(self) -> None:
        name, wiring = type(self).__name__, self.wiring
        if self.skips == "none" and wiring.skips:
            raise UserError(f"{name} runs no skips: use engine=batched")
        if self.skips == "aligned" and wiring.history:
            raise UserError(
                f"{name} is done with a frame before it takes the next, these skips bring together "
                f"{wiring.history + 1} frames: use engine=batched, or align the skips"
            )

    def __call__(
        self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor | None = None
    ) -> Episode:
        """Run one episode over a whole clip, from empty buffers.

        Args:
          clip: [K, B, ...], time-major; K is known before the graph is traced.
          targets: [K, B, ...]; the one at t belongs to computation step t (y^t of section 3.1).
          seed: int32 [2], of what is drawn; from TensorFlow's global generator if None.

        Raises:
          UserError: if the clip is too short for the modules, or clip and targets do not match.
        """
        clip, targets = tf.convert_to_tensor(clip), tf.convert_to_tensor(targets)
        if clip.shape.rank is None or clip.shape[0] is None:
            raise UserError(f"a clip needs a known number of frames, [K, B, ...], got {clip.shape}")
        if not clip.shape[:2].is_compatible_with(targets.shape[:2]):
            raise UserError(
                f"targets of shape {targets.shape} do not fit a clip of shape {clip.shape}: give "
                "one target for each frame and example, [K, B, ...]"
            )
        self.check_frames(clip.shape[0])
        self.build(tf.TensorSpec(clip.shape[1:], clip.dtype))
        if seed is None:
            seed = tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
        # Which weights are trained is part of the graph: another choice is another graph.
        trained = tuple(v.ref() for m in self.modules for v in m.trainable_variables)
        return self._graph(clip, targets, tf.cast(seed, tf.int32), hash(trained))

    def build(self, frame: tf.TensorSpec) -> None:
        """Make all variables for a batch of frames like `frame` [B, ...], unless it was done."""
        if self._built is None or self._built.shape[1:] != frame.shape[1:]:
            with tf.init_scope():
                self.network.build(frame)
                self._prepare()
            self._built = frame

    def _prepare(self) -> None:  # noqa: B027, some engines need nothing
        """What an engine needs beyond its modules' variables, and what it refuses."""

    def check_frames(self, frames: int) -> None:
        """Raise UserError where `frames` (K) are too few."""
        if self.needs_cycle:
            self.wiring.check_episode(frames)
            schedule.check_episode(self.depth, frames)

    def _run(self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor, trained: int) -> Episode:
        del trained
        episode, memories = self.compute(clip, targets, seed)
        for module, memory in zip(self.modules, memories, strict=True):
            module.remember(memory)
        return episode

    @abc.abstractmethod
    def compute(
        self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor
    ) -> tuple[Episode, list[list[tf.Tensor]]]:
        """One episode, in a graph, that changes nothing; and what each module remembers after."""


class StepEngine(Engine):
    """Runs a scheme step by step, each module under its `tf.device`: one `tf.function`, one loop.

    Inside an episode the pipe travels as loop variables, because an assign inside a loop holds up
    every device.
    """

    scheme: Scheme
    # Whether the first outputs of an episode stem from no frame yet.
    late = False
    # Where a pass is computed twice, it must see the same both times.
    computes_again = False

    def _prepare(self) -> None:
        if self.computes_again:
            check_repeatable(self.modules, type(self).__name__)
        self.network.make_buffers()

    def _run(self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor, trained: int) -> Episode:
        del trained
        scanned = self._scan(clip, targets, seed)
        self.network.rest(scanned.state)
        return self._episode(scanned, clip.shape[0])

    def compute(
        self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor
    ) -> tuple[Episode, list[list[tf.Tensor]]]:
        scanned = self._scan(clip, targets, seed)
        return (
            self._episode(scanned, clip.shape[0]),
            [carried.memory for carried in scanned.state.carried],
        )

    def _scan(self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> Scanned:
        batch = clip.shape[1] if clip.shape[1] is not None else tf.shape(clip)[1]
        state, seeds = self.network.empty(batch), module_seeds(seed, self.depth)
        return scan(self.scheme, self.network, state, clip, targets, seeds)

    def _episode(self, scanned: Scanned, steps: int) -> Episode:
        counts = self.scheme.counts(self.wiring, steps)
        means = [
            mean_with_penalty(*row) for row in zip(self.modules, scanned.sums, counts, strict=True)
        ]
        assert scanned.outputs is not None
        shown = scanned.outputs[self.first_output :]
        return Episode(mean_loss(self.network, scanned, counts), shown, means)

    @property
    def first_output(self) -> int:
        """How many steps of an episode show no output of frames."""
        return self.wiring.first_forward(self.depth) - 1 if self.late else 0

    def learn(
        self,
        clip: tf.Tensor,
        targets: tf.Tensor,
        seed: tf.Tensor,
        every: int,
        update: Update,
        *,
        clock: Clock | None = None,
        goes_on: bool = False,
        keep_outputs: bool = False,
    ) -> tuple[tf.Tensor, Scanned]:
        """An episode that ends after every `every` steps: updates while the pipe goes on.

        In a graph. Args as of `scan`; `goes_on`: on from where the pipe rests, in the middle of a
        clip whose end is not known; else from an empty pipe, over a whole clip.

        Returns:
          The mean loss, [], and what the scan gives.
        """
        if self.wiring.skips and self.network.loss_scale is not None:
            raise UserError(
                "with skips a module sums pseudo-gradients of several losses, whose float16 scales "
                "would differ while updates come inside a clip: use update_every=0, or bfloat16"
            )
        batch = clip.shape[1] if clip.shape[1] is not None else tf.shape(clip)[1]
        state = self.network.resting(batch) if goes_on else self.network.empty(batch)
        scanned = scan(
            self.scheme, self.network, state, clip, targets, module_seeds(seed, self.depth),
            every=every, update=update, clock=clock, ends=not goes_on,
            keep_outputs=keep_outputs,
        )  # fmt: skip
        self.network.rest(scanned.state)
        steps = tf.range(state.t + 1, scanned.state.t + 1)
        counts = [
            tf.reduce_sum(tf.cast(self.scheme.due(self.wiring, i, steps), tf.int32))
            for i in range(1, self.depth + 1)
        ]
        return mean_loss(self.network, scanned, counts), scanned


def mean_loss(network: Network, scanned: Scanned, counts: Sequence[int | tf.Tensor]) -> tf.Tensor:
    """The loss over the due steps of each module, and the weights' regularizers, []; 0 if none."""
    terms = [
        total / tf.cast(tf.maximum(count, 1), total.dtype)
        for totals, count in zip(scanned.losses, counts, strict=True)
        for total in totals
    ]
    return tf.add_n(terms) + weight_penalties(network.modules, network.loss_type)


def check_repeatable(modules: Sequence[SidewaysBlock], engine: str) -> None:
    """Refuse modules whose pass, computed a second time, would not be the same.

    Raises:
      UserError: naming the module that keeps state of its own, or draws by itself.
    """
    for number, module in enumerate(modules, 1):
        norms = folded_statistics(module.layer)
        own = [v.name for v in module.facts.moved if plain(v).ref() not in norms]
        reason = f"assigns state of its own ({own[0]}) as it trains" if own else ""
        if module.facts.random:
            reason = f"draws random numbers of its own ({module.facts.random[0]})"
        if reason:
            raise UserError(
                f"module {number} ({module.layer.name}) {reason}, and {engine} runs its forward "
                "pass twice: use engine=frame_by_frame with update_every=0, or algorithm=sideways"
            )


def per_frame(labels: tf.Tensor, frames: int) -> tf.Tensor:
    """One label for a whole clip, [B, ...], repeated for each of its frames: [K, B, ...]."""
    return tf.repeat(labels[tf.newaxis], frames, axis=0)

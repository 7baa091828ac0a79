"""BP, the baseline (section 3.3), as two schemes: it waits for each frame, or the stream does not.

Frame by frame, every frame of a clip blocks all modules for its update cycle of 2D - 1 steps, and
the next frame waits. On a stream that does not wait (L < K), the frames between are dropped. D = 3:

    step       1    2    3    4    5    6    7    8
    module 3             f1b1                     f6b6
    module 2        f1        b1             f6
    module 1   f1                  b1   f6             (frames 2 - 5 are dropped)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from sideways_tf.engines import schedule
from sideways_tf.engines.network import Carried, Network, State
from sideways_tf.engines.passes import forward, memory_after, open_step, zero_gradients
from sideways_tf.engines.scheme import Learnt, Scheme, learn
from sideways_tf.modules.wiring import Edge, Wiring


class FrameByFrame(Scheme):
    """The paper's BP on a clip that waits: each step of the loop is a whole update cycle.

    Each module works on its own device, but only one of them at a time. The gradients are exact.
    This is the baseline of Table 2.
    """

    def due(self, wiring: Wiring, module: int, t: tf.Tensor) -> tf.Tensor:
        return tf.constant(True)

    def next_due(self, wiring: Wiring, t: tf.Tensor) -> tf.Tensor:
        return t + 1

    def counts(self, wiring: Wiring, steps: int) -> list[int]:
        return [steps] * wiring.depth

    def step(
        self, network: Network, state: State, x: tf.Tensor, y: tf.Tensor, seeds: Sequence[tf.Tensor]
    ) -> tuple[State, list[Learnt]]:
        """Eqs. 1 and 2 for frame t."""
        t, depth = state.t + 1, network.depth
        # All meet the loss of this very frame: nothing is under way.
        state = state._replace(scales=[each.newest() for each in state.scales])
        runs: list[Any] = []  # A `Pass` each; None of modules of other machines.
        emitted: list[tf.Tensor] = []
        for i, (module, seed, old) in enumerate(
            zip(network.modules, seeds, state.carried, strict=True), 1
        ):
            if not network.here(i):
                runs.append(None)
                emitted.append(network.arrived("emitted", i, old.emitted))
                continue
            step = open_step(module, t, seed, old.memory, network.masks)
            with tf.device(module.device):
                h = network.input_of(i, lambda e: emitted[e.source - 1]) if i > 1 else x
            runs.append(forward(module, h, step))
            emitted.append(runs[-1].h_out)
            network.send("emitted", i, emitted[-1])
        learnt: list[Learnt] = []
        after: list[Carried] = []
        sent: dict[Edge, tf.Tensor] = {}
        for i in range(depth, 0, -1):
            run, old = runs[i - 1], state.carried[i - 1]
            if run is None:
                below = [network.arrived("below", i, value) for value in old.below]
                learnt.insert(0, Learnt([], []))
                after.insert(0, old)
            else:
                above = network.summed(i, sent) if i < depth else y
                found, below = learn(network, i, run, above, scale=state.scale_at(i))
                learnt.insert(0, found)
                # Nothing waits in a pipe: what is not carried on is free as soon as it was used.
                shown = run.h_out if i == depth else old.emitted
                after.insert(0, Carried(shown, old.below, run.memory, old.older))
                for value in below:
                    network.send("below", i, value)
            sent.update(network.shares(i, below))
        return State(t, state.frame, after, state.scales), learnt


class Blocked(Scheme):
    """BP on a stream: one module's forward or backward pass at each step, module D's both at once.

    A module's backward pass runs its forward pass again, at the activation that the module below
    keeps: no weight below or at it has moved since.
    """

    def due(self, wiring: Wiring, module: int, t: tf.Tensor) -> tf.Tensor:
        depth = wiring.depth
        due = schedule.blocked_backward(module, t, depth)
        return due & (t >= schedule.first_backward_step(module, depth))

    def next_due(self, wiring: Wiring, t: tf.Tensor) -> tf.Tensor:
        return t + schedule.cycle_length(wiring.depth)

    def counts(self, wiring: Wiring, steps: int) -> list[int]:
        depth = wiring.depth
        cycle = schedule.cycle_length(depth)
        firsts = [schedule.first_backward_step(i, depth) for i in range(1, depth + 1)]
        return [len(range(first, steps + 1, cycle)) for first in firsts]

    def step(
        self, network: Network, state: State, x: tf.Tensor, y: tf.Tensor, seeds: Sequence[tf.Tensor]
    ) -> tuple[State, list[Learnt]]:
        t = state.t + 1
        taken = tf.where(schedule.frame_taken(t, network.depth) == t, x, state.frame)
        above = [*network.from_readers([carried.below for carried in state.carried]), y]
        after, learnt = [], []
        for i, module in enumerate(network.modules, 1):
            with tf.device(module.device):
                old, seed = state.carried[i - 1], seeds[i - 1]
                # What is emitted stands until all have done with this frame.
                h_in = (
                    taken
                    if i == 1
                    else network.input_of(i, lambda e: state.carried[e.source - 1].emitted)
                )
                emitted, memory = self._forward(network, i, t, h_in, old, seed)
                from_above = above[i - 1], state.scale_at(i)
                found, below = self._backward(network, i, t, h_in, *from_above, old, seed)
            learnt.append(found)
            after.append(Carried(emitted, below, memory, old.older))
        return State(t, taken, after, state.scales), learnt

    def _forward(
        self,
        network: Network,
        i: int,
        t: tf.Tensor,
        h_in: tf.Tensor,
        old: Carried,
        seed: tf.Tensor,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Output and memory of module i after step t."""
        module, frame = network.modules[i - 1], schedule.frame_taken(t, network.depth)

        def run() -> tuple[tf.Tensor, list[tf.Tensor]]:
            step = open_step(module, frame, seed, old.memory, network.masks)
            return module.forward(h_in, step), memory_after(module, step)

        now = schedule.blocked_forward(i, t, network.depth) & (t >= i)
        return tf.cond(now, run, lambda: (old.emitted, old.memory))

    def _backward(
        self,
        network: Network,
        i: int,
        t: tf.Tensor,
        h_in: tf.Tensor,
        above: tf.Tensor,
        scale: tf.Tensor | None,
        old: Carried,
        seed: tf.Tensor,
    ) -> tuple[Learnt, list[tf.Tensor]]:
        """What module i learns at step t, and [the gradient of its input]."""
        module, frame = network.modules[i - 1], schedule.frame_taken(t, network.depth)
        has_loss = i == network.depth or module.facts.adds_loss

        def run() -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
            # The module's memory took this frame in on the way forward: not again.
            step = open_step(module, frame, seed, old.memory, network.masks)
            found, below = learn(network, i, forward(module, h_in, step), above, scale=scale)
            return *found, below

        def idle() -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
            loss = [tf.zeros([], network.loss_type)] if has_loss else []
            return loss, zero_gradients(module), old.below

        loss, weights, below = tf.cond(self.due(network.wiring, i, t), run, idle)
        return Learnt(loss, weights), below

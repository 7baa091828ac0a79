"""Sideways as the paper runs it (section 3.4): at every step all modules, none waits for another.

D = 3, the frame whose forward (f) or backward (b) pass a module runs at each step:

    step       1    2    3    4    5    6    7    8
    module 3             f1b1 f2b2 f3b3 f4b4 f5b5 f6b6
    module 2        f1   f2   f3b1 f4b2 f5b3 f6b4 f7b5
    module 1   f1   f2   f3   f4   f5b1 f6b2 f7b3 f8b4
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sideways_tf.engines.network import Carried, Network, State
from sideways_tf.engines.passes import forward, open_step
from sideways_tf.engines.scheme import Learnt, Scheme, learn
from sideways_tf.modules.wiring import Wiring


class Sideways(Scheme):
    """Every module at every step; the pipe is not reset before the clip ends."""

    # How far the lower modules, which wait for nobody, may run ahead of the last one: each step
    # ahead keeps its activations in memory.
    steps_at_once = 4
    reads_last_step = True

    def due(self, wiring: Wiring, module: int, t: tf.Tensor) -> tf.Tensor:
        return t >= wiring.first_backward(module)

    def next_due(self, wiring: Wiring, t: tf.Tensor) -> tf.Tensor:
        return t + 1

    def counts(self, wiring: Wiring, steps: int) -> list[int]:
        return [wiring.gamma(i, steps) for i in range(1, wiring.depth + 1)]

    def step(
        self, network: Network, state: State, x: tf.Tensor, y: tf.Tensor, seeds: Sequence[tf.Tensor]
    ) -> tuple[State, list[Learnt]]:
        """Eqs. 3 and 4 with the mask gamma_i^t.

        Every module reads only what others carry of step t - 1, or of older ones.
        """
        t, wiring = state.t + 1, network.wiring
        state = self._with_mail(network, state)
        above = [*network.from_readers([carried.below for carried in state.carried]), y]
        after, learnt = [], []
        for i, module in enumerate(network.modules, 1):
            if not network.here(i):
                after.append(state.carried[i - 1]._replace(older=state.carried[i - 1].pushed()))
                learnt.append(Learnt([], []))
                continue
            with tf.device(module.device):
                old, first = state.carried[i - 1], wiring.first_forward(i)
                step = open_step(module, t - first + 1, seeds[i - 1], old.memory, network.masks)
                run = forward(module, self._input(network, i, x, state), step)
                # A module that still holds no frame must not take zeros into its memory.
                kept = [
                    tf.where(t >= first, *both) for both in zip(run.memory, old.memory, strict=True)
                ]
                due, scale = self.due(wiring, i, t), state.scale_at(i)
                found, below = learn(network, i, run, above[i - 1], due, scale)
            learnt.append(found)
            after.append(Carried(run.h_out, below, kept, old.pushed()))
            network.send("emitted", i, run.h_out)
            for value in below:
                network.send("below", i, value)
        return State(t, state.frame, after, state.scales), learnt

    def _with_mail(self, network: Network, state: State) -> State:
        """`state` with what modules of other machines have sent of step t - 1."""
        carried = [
            old._replace(
                emitted=network.arrived("emitted", i, old.emitted),
                below=[network.arrived("below", i, value) for value in old.below],
            )
            for i, old in enumerate(state.carried, 1)
        ]
        return state._replace(carried=carried)

    def _input(self, network: Network, i: int, x: tf.Tensor, state: State) -> tf.Tensor:
        if i == 1:
            return x
        return network.input_of(i, lambda e: state.carried[e.source - 1].at(e.delay))

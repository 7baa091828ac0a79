"""The one loop over computation steps, for every scheme and every episode length L.

Weights stand still for L steps: a window. Module i is updated at the last step of a window at which
it is due, by the mean over those steps of the window; the pipe goes on. L = K is one update a clip,
L = 1 one a step. D = 3, L = 4, K = 8, Sideways ("*": the module is updated after this step):

    step       1    2    3    4*   5    6    7    8*
    module 3             b1   b2*  b3   b4   b5   b6*
    module 2                  b1*  b2   b3   b4   b5*
    module 1                       b1   b2   b3   b4*
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from sideways_tf.engines.machines import Post, machines_of, seen_from
from sideways_tf.engines.network import Network, State
from sideways_tf.engines.scheme import Scheme
from sideways_tf.engines.windows import Update, Window, Windows
from sideways_tf.modules.wide import weights_held

# Called once where a loop runs, before it. What it gives is called in each step with the number of
# steps made before, int32 []: updates are made within what that gives.
Clock = Callable[[], Callable[[tf.Tensor], contextlib.AbstractContextManager]]


class Scanned(NamedTuple):
    """What a scan over n steps gives.

    Attributes:
      state: where the pipe stands after it.
      outputs: [n, B, ...], what module D has emitted; None unless asked for.
      losses: of each module, [the sum of its losses over its due steps], [] where it has none.
      sums: for each module, for each trainable variable, the sum of its pseudo-gradients over the
        window that is still open: over all steps where there were no updates.
      mean, norm: float32 [D], mean and L2 norm of all numbers of a module's averaged
        pseudo-gradient, summed over its updates.
      updates: int32 [D], how many there were.
      skipped: int32 [D], how many more there would have been, had they been finite. None, as the
        three before, where there were no updates.
    """

    state: State
    outputs: tf.Tensor | None
    losses: list[list[tf.Tensor]]
    sums: list[list[tf.Tensor]]
    mean: tf.Tensor | None
    norm: tf.Tensor | None
    updates: tf.Tensor | None
    skipped: tf.Tensor | None


def scan(
    scheme: Scheme,
    network: Network,
    state: State,
    clip: tf.Tensor,
    targets: tf.Tensor,
    seeds: Sequence[tf.Tensor],
    *,
    every: int = 0,
    update: Update | None = None,
    clock: Clock | None = None,
    ends: bool = True,
    keep_outputs: bool = True,
) -> Scanned:
    """Run `scheme` over all frames of `clip`, on from `state`; from an empty pipe if it `ends`.

    Args:
      clip, targets: [n, B, ...], those of the steps state.t + 1 .. state.t + n.
      seeds: int32 [2] for each module, of what it draws.
      every: L; 0: weights stand still throughout.
      update: applies a module's averaged pseudo-gradients; needed where `every` is not 0.
      clock: tells updates at which step they are.
      ends: whether the clip ends here, and with it the last window.
      keep_outputs: False saves the memory of `outputs`.
    """
    steps = clip.shape[0]
    if _can_part(scheme, network, every) and ends:
        return _scan_apart(
            scheme, network, clip, targets, seeds,
            every=every, update=update, clock=clock, keep_outputs=keep_outputs,
        )  # fmt: skip
    windows = Windows(scheme, network, every, update, state.t + steps if ends else None)
    room = _room(network, clip) if keep_outputs else []
    after = clock() if clock else lambda n: contextlib.nullcontext()
    body = _Body(network, scheme, clip, targets, seeds, windows, after)
    losses = [[tf.zeros([], network.loss_type)] if has else [] for has in network.has_loss]
    here = [module for i, module in enumerate(network.modules, 1) if network.here(i)]
    with weights_held([] if every else here):
        _, state, losses, window, outputs = tf.while_loop(
            lambda n, *_: n < steps,
            body,
            (tf.constant(0), state, losses, windows.open(), room),
            maximum_iterations=steps,
            parallel_iterations=scheme.steps_at_once,
        )
    outputs = outputs.stack() if keep_outputs else None
    statistics = (tf.stack(column) if every else None for column in window[1:5])
    return Scanned(state, outputs, losses, window.sums, *statistics)


def _can_part(scheme: Scheme, network: Network, every: int) -> bool:
    """Whether each machine runs a loop of its own.

    With updates on the way only where a module needs of others no more than what they send: not
    with a loss scale, which all of them settle, nor in BP, whose modules wait for each other.
    """
    if network.mail is not None or len(machines_of(network)) < 2:
        return False
    return not every or (scheme.reads_last_step and network.loss_scale is None)


def _scan_apart(
    scheme: Scheme,
    network: Network,
    clip: tf.Tensor,
    targets: tf.Tensor,
    seeds: Sequence[tf.Tensor],
    *,
    keep_outputs: bool,
    **updates: Any,
) -> Scanned:
    """As `scan`, from an empty pipe: one loop on each machine."""
    post = Post(network, clip)
    batch = clip.shape[1] if clip.shape[1] is not None else tf.shape(clip)[1]
    found: dict[str, Scanned] = {}
    for machine in machines_of(network):
        seen = seen_from(network, post, machine)
        with tf.device(seen.modules[0].device):
            state = seen.empty(batch)._replace(order=seen.mail.order)
            post.open(machine, state, scheme.reads_last_step)
            found[machine] = scan(
                scheme, seen, state, clip, targets, seeds,
                keep_outputs=keep_outputs and seen.here(network.depth), **updates,
            )  # fmt: skip
    post.feed()
    post.carry(clip.shape[0] - scheme.reads_last_step)
    own = [found[machine] for machine in post.machines]
    carried = [part.state.carried[i] for i, part in enumerate(own)]
    # Of modules that are elsewhere a machine has zeros.
    columns = zip(*(part[4:] for part in found.values()), strict=True)
    return Scanned(
        own[0].state._replace(carried=carried),
        own[-1].outputs,
        [part.losses[i] for i, part in enumerate(own)],
        [part.sums[i] for i, part in enumerate(own)],
        *(tf.add_n(column) if updates["every"] else None for column in columns),
    )


def step_once(
    scheme: Scheme,
    network: Network,
    state: State,
    x: tf.Tensor,
    y: tf.Tensor,
    seeds: Sequence[tf.Tensor],
    *,
    every: int,
    update: Update,
    sums: list[list[tf.Tensor]],
    counts: list[tf.Tensor],
) -> tuple[Scanned, list[tf.Tensor]]:
    """The next step alone, with its updates, outside of any loop: for a stream, frame by frame.

    Args:
      x, y: [B, ...], frame and target of step state.t + 1.
      sums, counts: of each module, what the steps of the open window before this one have summed
        up (`Scanned.sums`), and at how many of them it was due, int32 []; [] both where L = 1.
      The others are as of `scan`.

    Returns:
      What the step gives, without statistics, and the new `counts`.
    """
    windows = Windows(scheme, network, every, update, None, statistics=False)
    window = windows.open()
    if every > 1:
        window = window._replace(sums=sums, counts=counts)
    state, learnt = scheme.step(network, state, x, y, seeds)
    after = windows.take(state, window, learnt)
    state = windows.scaled(state, window, after, learnt)
    losses, outputs = [found.loss for found in learnt], state.carried[-1].emitted
    made = tf.stack(after.updates), tf.stack(after.skipped)
    return Scanned(state, outputs, losses, after.sums, None, None, *made), after.counts


def _room(network: Network, clip: tf.Tensor) -> tf.TensorArray:
    out = network.specs[-1][1]
    shape = [clip.shape[1], *out.shape[1:]]
    return tf.TensorArray(out.dtype, clip.shape[0], element_shape=shape)


@dataclass
class _Body:
    """One step of the loop; see `scan`."""

    network: Network
    scheme: Scheme
    clip: tf.Tensor
    targets: tf.Tensor
    seeds: Sequence[tf.Tensor]
    windows: Windows
    after: Callable[[tf.Tensor], contextlib.AbstractContextManager]

    def __call__(
        self, n: tf.Tensor, state: State, losses: list, window: Window, outputs: Any
    ) -> tuple:
        modules = self.network.modules
        x = y = None
        mail = self.network.mail
        if mail:
            mail.order = list(state.order)
        if self.network.here(1):
            with tf.device(modules[0].device):
                x = mail.frame() if mail else self.clip[n]
        if self.network.here(len(modules)):
            with tf.device(modules[-1].device):
                y = self.targets[n]
        state, learnt = self.scheme.step(self.network, state, x, y, self.seeds)
        if mail:
            state = state._replace(order=mail.order)
        losses = tf.nest.map_structure(tf.add, losses, [found.loss for found in learnt])
        with self.after(n):
            after = self.windows.take(state, window, learnt)
        state, window = self.windows.scaled(state, window, after, learnt), after
        if outputs != []:
            outputs = outputs.write(n, state.carried[-1].emitted)
        return n + 1, state, losses, window, outputs

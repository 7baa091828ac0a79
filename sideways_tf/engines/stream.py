"""Streams (L = 1): one computation step at a time on a pipe that lives on between the steps.

Sideways takes every frame. BP is blocked for its update cycle of 2D - 1 steps and drops the frames
between. D = 3, the frame whose forward (f) or backward (b) pass a module runs at each step:

    step                1    2    3    4    5    6    7    8
    BP, module 3                  f1b1                     f6b6
        module 2             f1        b1             f6
        module 1        f1                  b1   f6             (frames 2 - 5 are dropped)

    Sideways, module 3            f1b1 f2b2 f3b3 f4b4 f5b5 f6b6
              module 2       f1   f2   f3b1 f4b2 f5b3 f6b4 f7b5
              module 1  f1   f2   f3   f4   f5b1 f6b2 f7b3 f8b4
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from sideways_tf.engines import schedule
from sideways_tf.engines.passes import (
    Loss,
    backward,
    forward,
    loss_and_gradient,
    moved,
    moving_values,
    open_step,
)
from sideways_tf.engines.pipe import (
    Pipe,
    StepResult,
    empty_pipe,
    read_buffer,
    rest,
    resting_pipe,
)
from sideways_tf.engines.sideways import computation_step
from sideways_tf.errors import UserError
from sideways_tf.models.block import SidewaysBlock, build_modules


class StreamState(NamedTuple):
    """Where a stream stands between two computation steps.

    Attributes:
      t: int32 [], steps made since the last restart.
      held: [B, ...], the newest frame that was taken in.
      pipe: what the modules emitted at step t; `pipe.activations[-1]` is the output shown.
      moving: for each module its moving statistics.
    """

    t: tf.Tensor
    held: tf.Tensor
    pipe: Pipe
    moving: list[list[tf.Tensor]]


class Stream(tf.Module, abc.ABC):
    """Computes the (pseudo-)gradients of one computation step; never changes a weight.

    Between calls a stream rests in `tf.Variable`s, which a checkpoint keeps: the modules' buffers,
    the frame held and the clock. Within a call it travels as a `StreamState`.

    Args:
      modules: D modules H_1 .. H_D.
      loss: (targets [B, ...], outputs [B, ...]) -> losses [B, ...].

    Attributes:
      clock: int32 variable, steps made since the last restart.
      held: variable [B, ...], the newest frame that was taken in.
    """

    algorithm: str
    # How many steps a loop may have in flight; 1: none begins before the last one ends.
    parallel_steps = 10

    def __init__(self, modules: Sequence[SidewaysBlock], loss: Loss):
        super().__init__()
        if not modules:
            raise UserError("a network needs at least one module, none was given")
        self.modules = list(modules)
        self.loss = loss
        self.specs: list[tuple[tf.TensorSpec, tf.TensorSpec]] = []  # Known once built.

    @property
    def depth(self) -> int:
        """D."""
        return len(self.modules)

    def build(self, frame: tf.TensorSpec) -> None:
        """Make all variables for a batch of frames, `frame` [B, ...], unless it was done before."""
        if self.specs:
            return
        self.specs = build_modules(self.modules, frame)
        for i, (module, spec) in enumerate(zip(self.modules, self.specs, strict=True), 1):
            module.make_state(*spec, first=i == 1)
        with tf.device(self.modules[0].device):
            zeros = tf.zeros(frame.shape, frame.dtype)
            shape = [None, *frame.shape[1:]]
            self.held = tf.Variable(zeros, trainable=False, name="held", shape=shape)
        with tf.device("CPU:0"):
            self.clock = tf.Variable(0, trainable=False, name="clock", dtype=tf.int32)

    def empty(self, batch: int) -> StreamState:
        """The state after a restart, for a new clip of `batch` examples."""
        held = tf.zeros([batch, *self.held.shape[1:]], self.held.dtype)
        pipe = empty_pipe(self.modules, self.specs, batch)
        return StreamState(tf.constant(0), held, pipe, [moving_values(m) for m in self.modules])

    def resting(self, batch: int) -> StreamState:
        """The state in the variables, of `batch` examples."""
        held, pipe = read_buffer(self.held, batch), resting_pipe(self.modules, batch)
        moving = [moving_values(m) for m in self.modules]
        return StreamState(tf.convert_to_tensor(self.clock), held, pipe, moving)

    def rest(self, state: StreamState) -> None:
        """Write `state` to the variables."""
        self.clock.assign(state.t)
        self.held.assign(state.held)
        rest(self.modules, state.pipe, state.moving)

    def due(self, t: tf.Tensor) -> list[tf.Tensor]:
        """gamma_i^t: for each module, bool [], whether it has something to learn from at step t."""
        return [self._due(i, t) for i in range(1, self.depth + 1)]

    @abc.abstractmethod
    def _due(self, module: int, t: tf.Tensor) -> tf.Tensor:
        """gamma_i^t of module i = `module`."""

    @abc.abstractmethod
    def step(
        self, state: StreamState, x: tf.Tensor, y: tf.Tensor, seeds: Sequence[tf.Tensor]
    ) -> tuple[StreamState, StepResult]:
        """The next computation step, t = state.t + 1.

        Args:
          x: [B, ...], frame x^t.
          y: [B, ...], target y^t.
          seeds: int32 [2] for each module.

        Returns:
          The state after it, and what each module has learnt, zero where it is not due.
        """


class SidewaysStream(Stream):
    """Every module at every step; the pipe is not reset between the steps of a clip."""

    algorithm = "sideways"

    def _due(self, module: int, t: tf.Tensor) -> tf.Tensor:
        return t >= schedule.first_backward_step(module, self.depth)

    def step(
        self, state: StreamState, x: tf.Tensor, y: tf.Tensor, seeds: Sequence[tf.Tensor]
    ) -> tuple[StreamState, StepResult]:
        t = state.t + 1
        pipe, result = computation_step(
            self.modules, self.loss, state.pipe, state.moving, x, y, t, seeds
        )
        return StreamState(t, x, pipe, result.moving), result


class BlockedStream(Stream):
    """BP, blocked: one module's forward or backward pass at each step, module D's both at once.

    A module's backward pass runs its forward pass again, at the activation that the module below
    keeps in its buffer: no weight below or at it has moved since.
    """

    algorithm = "bp"
    parallel_steps = 1

    def _due(self, module: int, t: tf.Tensor) -> tf.Tensor:
        due = schedule.blocked_backward(module, t, self.depth)
        return due & (t >= schedule.first_backward_step(module, self.depth))

    def step(
        self, state: StreamState, x: tf.Tensor, y: tf.Tensor, seeds: Sequence[tf.Tensor]
    ) -> tuple[StreamState, StepResult]:
        t = state.t + 1
        held = tf.where(schedule.frame_taken(t, self.depth) == t, x, state.held)
        inputs = [held, *state.pipe.activations[:-1]]
        above = [*state.pipe.pseudo_gradients, y]
        outputs, below, moving, gradients = [], [], [], []
        loss = tf.zeros([], self.specs[-1][1].dtype)
        for i, module in enumerate(self.modules, 1):
            with tf.device(module.device):
                h_out, after = self._forward(i, t, inputs[i - 1], state, seeds)
                loss, weights, input_gradient = self._backward(
                    i, t, inputs[i - 1], above[i - 1], state, seeds
                )
            outputs.append(h_out)
            moving.append(after)
            gradients.append(weights)
            below += input_gradient
        return StreamState(t, held, Pipe(outputs, below), moving), StepResult(
            loss, gradients, moving
        )

    def _forward(
        self,
        i: int,
        t: tf.Tensor,
        h_in: tf.Tensor,
        state: StreamState,
        seeds: Sequence[tf.Tensor],
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Output and moving statistics of module i after step t."""
        module, frame = self.modules[i - 1], schedule.frame_taken(t, self.depth)
        h_out, moving = state.pipe.activations[i - 1], state.moving[i - 1]

        def run() -> tuple[tf.Tensor, list[tf.Tensor]]:
            step = open_step(module, [frame], 1, seeds[i - 1], moving)
            return module.forward(h_in, step), moved(module, step)

        return tf.cond(
            schedule.blocked_forward(i, t, self.depth) & (t >= i), run, lambda: (h_out, moving)
        )

    def _backward(
        self,
        i: int,
        t: tf.Tensor,
        h_in: tf.Tensor,
        above: tf.Tensor,
        state: StreamState,
        seeds: Sequence[tf.Tensor],
    ) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
        """Loss (of module D), gradients of module i's weights, [that of its input] at step t."""
        module, frame = self.modules[i - 1], schedule.frame_taken(t, self.depth)
        dtype = self.specs[-1][1].dtype

        def run() -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
            # The moving statistics took this frame in on the way forward.
            step = open_step(module, [frame], 1, seeds[i - 1], state.moving[i - 1], real=False)
            before = [tf.identity(v) for v in module.own_state]
            again = forward(module, h_in, step)
            for variable, old in zip(module.own_state, before, strict=True):
                variable.assign(old)
            loss, gradient = tf.zeros([], dtype), above
            if i == self.depth:
                loss, gradient = loss_and_gradient(self.loss, above, again.h_out, module.device)
            weights, below = backward(again, gradient, first=i == 1)
            return loss, weights, [] if below is None else [below]

        def idle() -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
            weights = [tf.zeros_like(v) for v in module.trainable_variables]
            below = [] if i == 1 else [state.pipe.pseudo_gradients[i - 2]]
            return tf.zeros([], dtype), weights, below

        return tf.cond(self._due(i, t), run, idle)


def make_stream(algorithm: str, modules: Sequence[SidewaysBlock], loss: Loss) -> Stream:
    """The stream of `algorithm`, "sideways" or "bp"."""
    return {"sideways": SidewaysStream, "bp": BlockedStream}[algorithm](modules, loss)

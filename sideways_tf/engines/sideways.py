"""Sideways as the paper runs it (section 3.4): a loop of computation steps, all modules at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from sideways_tf.engines import schedule
from sideways_tf.engines.engine import Engine
from sideways_tf.engines.passes import (
    Episode,
    Loss,
    Pass,
    averages,
    backward,
    each_on_device,
    forward,
    loss_and_gradient,
    module_seeds,
    moved,
    moving_values,
    open_step,
    zero_sums,
)
from sideways_tf.engines.pipe import Pipe, StepResult, empty_pipe, rest
from sideways_tf.models.block import SidewaysBlock

# How far the lower modules, which wait for nobody, may run ahead of the last one: each step ahead
# keeps its activations in memory.
STEPS_AT_ONCE = 4


def computation_step(
    modules: Sequence[SidewaysBlock],
    loss: Loss,
    pipe: Pipe,
    moving: Sequence[Sequence[tf.Tensor]],
    x: tf.Tensor,
    y: tf.Tensor,
    t: tf.Tensor,
    seeds: Sequence[tf.Tensor],
) -> tuple[Pipe, StepResult]:
    """Step t (from 1) of all modules: eqs. 3 and 4 with the mask gamma_i^t.

    Every module reads only what `pipe` holds of step t - 1, so that none waits for another.

    Args:
      x: frame x^t [B, ...].
      y: target y^t [B, ...].
      t: int32 [], counted from the last restart of the pipe.
      seeds: int32 [2] for each module.
    """
    depth = len(modules)
    inputs = [x, *pipe.activations[:-1]]
    above: list[tf.Tensor | None] = [*pipe.pseudo_gradients, None]
    value, outputs, below, gradients, after = None, [], [], [], []
    for i, module in enumerate(modules, 1):
        with tf.device(module.device):
            real = t >= schedule.first_forward_step(i)
            due = t >= schedule.first_backward_step(i, depth)
            frame = schedule.frame_held(i, t)
            step = open_step(module, [frame], 1, seeds[i - 1], moving[i - 1], real)
            before = [tf.identity(v) for v in module.own_state]
            run = forward(module, inputs[i - 1], step)
            for variable, old in zip(module.own_state, before, strict=True):
                variable.assign(tf.where(real, variable, old))
            if i == depth:
                value, above[-1] = loss_and_gradient(loss, y, run.h_out, module.device)
                value = tf.where(due, value, tf.zeros_like(value))
            weights, emitted = masked_backward(due, run, above[i - 1], first=i == 1)
            gradients.append(weights)
            below += emitted
            outputs.append(run.h_out)
            after.append(moved(module, step))
    return Pipe(outputs, below), StepResult(value, gradients, after)


def masked_backward(
    due: tf.Tensor, run: Pass, above: tf.Tensor, first: bool
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """gamma_i^t times eqs. 3 and 4: while the pipe fills, zeros at no cost.

    Nor does it matter then whether a user's module has finite Jacobians at an empty pipe's zeros.

    Args:
      due: bool [], whether gamma_i^t is 1.

    Returns:
      For each trainable variable its gradient; and [that of the input], [] in module 1.
    """

    def computed() -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        weights, below = backward(run, above, first)
        return weights, [] if below is None else [below]

    def zeros() -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        variables = run.module.trainable_variables
        return [tf.zeros_like(v) for v in variables], [] if first else [tf.zeros_like(run.h_in)]

    return tf.cond(due, computed, zeros)


class PipelinedSideways(Engine):
    """The step loop: one `tf.function`, each module under its `tf.device`.

    Between calls the pipe rests in the modules' `tf.Variable` buffers; inside an episode it
    travels as loop variables, because an assign inside a loop holds up every device.
    """

    def _prepare(self) -> None:
        for i, (module, spec) in enumerate(zip(self.modules, self.specs, strict=True), 1):
            module.make_state(*spec, first=i == 1)

    def check_frames(self, frames: int) -> None:
        schedule.check_episode(self.depth, frames)

    def _episode(self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> Episode:
        modules, steps = self.modules, clip.shape[0]
        seeds = module_seeds(seed, self.depth)
        sums = zero_sums(modules)
        outputs = tf.TensorArray(self.specs[-1][1].dtype, steps)

        def one_step(
            t: tf.Tensor, loss: tf.Tensor, pipe: Pipe, moving: list, sums: list, outputs: Any
        ) -> tuple:
            with tf.device(modules[0].device):
                x = clip[t - 1]
            with tf.device(modules[-1].device):
                y = targets[t - 1]
            pipe, result = computation_step(modules, self.loss, pipe, moving, x, y, t, seeds)
            sums = each_on_device(modules, tf.add, sums, result.gradients)
            outputs = outputs.write(t - 1, pipe.activations[-1])
            return t + 1, loss + result.loss, pipe, result.moving, sums, outputs

        zero = tf.zeros([], self.specs[-1][1].dtype)
        moving = [moving_values(m) for m in modules]
        _, loss, pipe, moving, sums, outputs = tf.while_loop(
            lambda t, *_: t <= steps,
            one_step,
            (
                tf.constant(1),
                zero,
                empty_pipe(modules, self.specs, clip.shape[1]),
                moving,
                sums,
                outputs,
            ),
            maximum_iterations=steps,
            parallel_iterations=STEPS_AT_ONCE,
        )
        rest(modules, pipe, moving)
        gammas = [schedule.gamma(i, self.depth, steps) for i in range(1, self.depth + 1)]
        means = averages(modules, sums, gammas)
        return Episode(loss / gammas[-1], outputs.stack()[self.depth - 1 :], means)

"""Training on a stream (section 3.4, L = 1): every computation step ends with an update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from sideways_tf.engines.passes import module_seeds
from sideways_tf.engines.stream import Stream, StreamState
from sideways_tf.update_rules import make_moments
from sideways_tf.training.update import Optimizer, clip_by_value, module_statistics


class StreamMetrics(NamedTuple):
    """Means over the steps of one call; 0 where there was none.

    Attributes:
      loss: float [], over the steps at which module D got a loss.
      gradient_mean, gradient_norm: float32 [D], mean and L2 norm of all numbers of a module's
        (pseudo-)gradient before clipping, over the steps at which the module was due.
      updates: int32 [D], those steps.
    """

    loss: tf.Tensor
    gradient_mean: tf.Tensor
    gradient_norm: tf.Tensor
    updates: tf.Tensor


class ByStep(tf.keras.optimizers.schedules.LearningRateSchedule):
    """`schedule` of the computation steps of the whole run, not of an optimizer's own count.

    BP makes fewer updates on a stream than Sideways, a lower module fewer than a higher one: the
    learning rate is the same for all of them at the same frame.
    """

    def __init__(self, schedule: Callable[[tf.Tensor], tf.Tensor], steps: tf.Variable):
        self.schedule, self.steps = schedule, steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        del step
        return self.schedule(self.steps)

    def get_config(self) -> dict:
        return {"schedule": self.schedule, "steps": self.steps}


class StreamUpdate(tf.Module):
    """theta_i := theta_i - alpha * pseudo-gradient of theta_i, at every step t with gamma_i^t = 1.

    A module that is not due is left alone: its weights, its optimizer's moments and step count.

    Args:
      engine: a built stream.
      make_optimizer: makes one optimizer, given the variable `steps`; each module gets its own.
      source_target: whether the target is the frame that the output stems from, not the newest.
      clip_value: gradients are clipped to [-clip_value, clip_value]; 0: not.
      seed: of dropout masks, together with the clip.
      window: clips over which `mean_loss` averages.

    Attributes:
      iteration: int64 variable, batches of clips trained on so far.
      steps: int64 variable, computation steps made so far: frames of the stream.
      mean_loss: float32 variable, running average of the loss.
    """

    def __init__(
        self,
        engine: Stream,
        make_optimizer: Callable[[tf.Variable], Optimizer],
        *,
        source_target: bool = False,
        clip_value: float = 1.0,
        seed: int = 0,
        window: int = 100,
    ):
        super().__init__()
        self.engine = engine
        self.source_target = source_target
        self.clip_value = clip_value
        self.seed = seed
        self.window = window
        self.iteration = tf.Variable(0, dtype=tf.int64, trainable=False, name="iteration")
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="steps")
        self.mean_loss = tf.Variable(0.0, trainable=False, name="mean_loss")
        self.optimizers = [make_optimizer(self.steps) for _ in engine.modules]
        for module, optimizer in zip(engine.modules, self.optimizers, strict=True):
            with tf.device(module.device):
                make_moments(optimizer, module.trainable_variables)

    @tf.function(autograph=False)
    def __call__(self, clip: tf.Tensor, labels: tf.Tensor | None = None) -> StreamMetrics:
        """Train on a new batch of clips, from an empty pipe.

        Args:
          clip: float [K, B, H, W, C], pixels in [0, 1].
          labels: not used.
        """
        del labels
        metrics = self._run(self.engine.empty(clip.shape[1]), clip, self.targets(clip))
        self.iteration.assign_add(1)
        count = tf.cast(tf.minimum(self.iteration, self.window), tf.float32)
        self.mean_loss.assign_add((tf.cast(metrics.loss, tf.float32) - self.mean_loss) / count)
        return metrics

    @tf.function(autograph=False)
    def advance(self, frames: tf.Tensor, targets: tf.Tensor) -> StreamMetrics:
        """Go on in the middle of a clip with its next frames; [n, B, ...] both."""
        return self._run(self.engine.resting(frames.shape[1]), frames, targets)

    def restart(self, batch: int) -> None:
        """Empty the pipe, for a new clip that `advance` takes in parts."""
        self.engine.rest(self.engine.empty(batch))

    def targets(self, clip: tf.Tensor) -> tf.Tensor:
        """y^1 .. y^K of a whole clip [K, B, ...]: x^t, or x^(t - D + 1) after D - 1 blank ones."""
        late = self.engine.depth - 1
        if not self.source_target or not late:
            return clip
        return tf.concat([tf.zeros_like(clip[:late]), clip[:-late]], axis=0)

    def _run(self, state: StreamState, frames: tf.Tensor, targets: tf.Tensor) -> StreamMetrics:
        """All of `frames`, one step each."""
        depth, last = self.engine.depth, self.engine.modules[-1]
        seed = tf.stack([tf.constant(self.seed, tf.int32), tf.cast(self.iteration, tf.int32)])
        seeds = module_seeds(seed, depth)

        def one_step(
            n: tf.Tensor, state: StreamState, sums: StreamMetrics
        ) -> tuple[tf.Tensor, StreamState, StreamMetrics]:
            with tf.device(self.engine.modules[0].device):
                x = frames[n]
            with tf.device(last.device):
                y = targets[n]
            state, metrics = self.one_step(state, x, y, seeds)
            return n + 1, state, tf.nest.map_structure(tf.add, sums, metrics)

        zeros = StreamMetrics(
            tf.zeros([], frames.dtype),
            tf.zeros([depth]),
            tf.zeros([depth]),
            tf.zeros([depth], tf.int32),
        )
        _, state, sums = tf.while_loop(
            lambda n, *_: n < frames.shape[0],
            one_step,
            (tf.constant(0), state, zeros),
            maximum_iterations=frames.shape[0],
            parallel_iterations=self.engine.parallel_steps,
        )
        self.engine.rest(state)
        counts = tf.maximum(tf.cast(sums.updates, tf.float32), 1.0)
        return StreamMetrics(
            sums.loss / tf.cast(counts[-1], sums.loss.dtype),
            sums.gradient_mean / counts,
            sums.gradient_norm / counts,
            sums.updates,
        )

    def one_step(
        self, state: StreamState, x: tf.Tensor, y: tf.Tensor, seeds: Sequence[tf.Tensor]
    ) -> tuple[StreamState, StreamMetrics]:
        """One computation step of the engine and the updates that are due after it."""
        due = self.engine.due(state.t + 1)
        state, result = self.engine.step(state, x, y, seeds)
        for module, optimizer, gradients, now in zip(
            self.engine.modules, self.optimizers, result.gradients, due, strict=True
        ):
            if gradients:
                clipped = clip_by_value(gradients, self.clip_value)
                with tf.device(module.device):
                    _update_if(now, optimizer, clipped, module.trainable_variables)
        self.steps.assign_add(1)
        mean, norm = module_statistics(result.gradients)
        return state, StreamMetrics(result.loss, mean, norm, tf.cast(tf.stack(due), tf.int32))


def _update_if(
    due: tf.Tensor,
    optimizer: Optimizer,
    gradients: Sequence[tf.Tensor],
    variables: Sequence[tf.Variable],
) -> None:
    """Apply `gradients`, or touch nothing."""

    def apply() -> tf.Tensor:
        with tf.control_dependencies(
            [optimizer.apply_gradients(zip(gradients, variables, strict=True))]
        ):
            return tf.constant(True)

    tf.cond(due, apply, lambda: tf.constant(False))

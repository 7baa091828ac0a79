"""One iteration: an episode, then every module's update from its own gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import tensorflow as tf

from sideways_tf.engines import Engine, per_frame
from sideways_tf.update_rules import make_moments

Optimizer: TypeAlias = tf.keras.optimizers.legacy.Optimizer


class Metrics(NamedTuple):
    """Of one iteration.

    Attributes:
      loss: float [], mean over the frames that got one.
      accuracy: float [], share of those frames whose largest logit is the label, in [0, 1].
      gradient_mean, gradient_norm: float [D], mean and L2 norm of all numbers of a module's
        averaged (pseudo-)gradient, before clipping.
    """

    loss: tf.Tensor
    accuracy: tf.Tensor
    gradient_mean: tf.Tensor
    gradient_norm: tf.Tensor


class Update(tf.Module):
    """theta_i := theta_i - alpha * (pseudo-)gradient of theta_i, for every module by itself.

    Args:
      engine: gives the averaged (pseudo-)gradients of an episode; built already.
      make_optimizer: makes one optimizer; each module gets its own, on its device, so that no
        module's update waits for another's.
      clip_value: gradients are clipped to [-clip_value, clip_value] after averaging; 0: not.
      seed: of dropout masks, together with the iteration.
      window: iterations over which `mean_loss` averages.

    Attributes:
      iteration: int64 variable, updates made so far.
      mean_loss: float32 variable, running average of the loss.
    """

    def __init__(
        self,
        engine: Engine,
        make_optimizer: Callable[[], Optimizer],
        clip_value: float = 1.0,
        seed: int = 0,
        window: int = 100,
    ):
        super().__init__()
        self.engine = engine
        self.optimizers = [make_optimizer() for _ in engine.modules]
        for module, optimizer in zip(engine.modules, self.optimizers, strict=True):
            with tf.device(module.device):
                make_moments(optimizer, module.trainable_variables)
        self.clip_value = clip_value
        self.seed = seed
        self.window = window
        self.mean_loss = tf.Variable(0.0, trainable=False, name="mean_loss")
        self.iteration = tf.Variable(0, dtype=tf.int64, trainable=False, name="iteration")

    @tf.function(autograph=False)
    def __call__(self, clip: tf.Tensor, labels: tf.Tensor) -> Metrics:
        """Train on one batch of clips.

        Args:
          clip: float32 [K, B, H, W, 3] in [0, 1].
          labels: int32 [B].
        """
        episode = self.engine(clip, per_frame(labels, clip.shape[0]), self.episode_seed())
        means, norms = module_statistics(episode.gradients)
        for module, optimizer, gradients in zip(
            self.engine.modules, self.optimizers, episode.gradients, strict=True
        ):
            with tf.device(module.device):
                clipped = clip_by_value(gradients, self.clip_value)
                if clipped:
                    optimizer.apply_gradients(zip(clipped, module.trainable_variables, strict=True))
        self.iteration.assign_add(1)
        count = tf.cast(tf.minimum(self.iteration, self.window), tf.float32)
        self.mean_loss.assign_add((tf.cast(episode.loss, tf.float32) - self.mean_loss) / count)
        hits = tf.argmax(episode.outputs, -1, tf.int32) == labels[tf.newaxis]
        return Metrics(episode.loss, tf.reduce_mean(tf.cast(hits, tf.float32)), means, norms)

    def episode_seed(self) -> tf.Tensor:
        """Seed of the coming iteration's dropout masks, int32 [2]."""
        return tf.stack([tf.constant(self.seed, tf.int32), tf.cast(self.iteration, tf.int32)])


def clip_by_value(gradients: Sequence[tf.Tensor], value: float) -> list[tf.Tensor]:
    """Each number into [-value, value]; unchanged if value is 0."""
    if not value:
        return list(gradients)
    return [tf.clip_by_value(g, -value, value) for g in gradients]


def module_statistics(gradients: Sequence[Sequence[tf.Tensor]]) -> tuple[tf.Tensor, tf.Tensor]:
    """For each module the mean and the L2 norm over all its gradients' numbers: [D], [D]."""
    means, norms = [], []
    for module in gradients:
        numbers = [tf.reshape(tf.cast(g, tf.float32), [-1]) for g in module]
        flat = tf.concat(numbers, 0) if numbers else tf.zeros([1])
        means.append(tf.reduce_mean(flat))
        norms.append(tf.norm(flat))
    return tf.stack(means), tf.stack(norms)

"""How far pseudo-gradients are from true gradients: their cosine and the ratio of their norms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from sideways_tf.engines import BatchedBackprop, Engine, make_engine, per_frame
from sideways_tf.training.update import Update


class Agreement(NamedTuple):
    """Of one batch, by module; NaN where either gradient is zero or there is none.

    Attributes:
      cosine: float [D] in [-1, 1], between pseudo-gradient and true gradient.
      norm_ratio: float [D], L2 norm of the pseudo-gradient over that of the true gradient.
    """

    cosine: tf.Tensor
    norm_ratio: tf.Tensor


class Diagnosis:
    """Compares what `update` would train on with BP's gradients: same batch, weights and masks.

    The true gradient is that of the very loss the episode reports. In Sideways this is the mean
    over the K - D + 1 frames that reach module D before the episode ends, frame tau against the
    target of step tau + D - 1, at which its output appears. BP over all K frames would be another
    loss: then even module D, whose pseudo-gradient is exact (section 3.4), would seem to be off.
    So over these frames the cosine of module D is always 1, up to rounding; with identical frames
    that of every module is. For a module i below, the difference holds all that Sideways leaves
    out: gradients that meet later frames, and those of the last D - i losses, still on their way
    to it when the episode ends.

    Values before clipping. It changes nothing: what a forward pass moves is put back.
    """

    def __init__(self, update: Update):
        self.update = update
        self.reference = reference_engine(update.engine)

    @tf.function(autograph=False)
    def __call__(self, clip: tf.Tensor, labels: tf.Tensor) -> Agreement:
        """The agreement on one batch, before its update.

        Args:
          clip: float32 [K, B, H, W, 3] in [0, 1].
          labels: int32 [B].
        """
        modules = self.update.engine.modules
        state = [v for module in modules for v in module.non_trainable_variables]
        before = [tf.identity(variable) for variable in state]
        targets, seed = per_frame(labels, clip.shape[0]), self.update.episode_seed()
        episode = self.update.engine(clip, targets, seed)
        frames = episode.outputs.shape[0]
        true = self.reference(clip[:frames], targets[-frames:], seed)
        for variable, value in zip(state, before, strict=True):
            variable.assign(value)
        return compare(episode.gradients, true.gradients)


def reference_engine(engine: Engine) -> Engine:
    """BP on the modules of `engine`: all frames at once where it does so, too."""
    kind = "time_shifted" if isinstance(engine, BatchedBackprop) else "pipelined"
    reference = make_engine("bp", engine.modules, engine.loss, kind)
    frame = engine.specs[0][0]
    reference.build(frame)
    return reference


def compare(
    pseudo: Sequence[Sequence[tf.Tensor]], true: Sequence[Sequence[tf.Tensor]]
) -> Agreement:
    """For each module the cosine and the norm ratio over all its gradients' numbers."""
    rows = [_compare_module(p, t) for p, t in zip(pseudo, true, strict=True)]
    cosines, ratios = zip(*rows, strict=True)
    return Agreement(tf.stack(cosines), tf.stack(ratios))


def _compare_module(
    pseudo: Sequence[tf.Tensor], true: Sequence[tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    if not pseudo:
        return tf.constant(float("nan")), tf.constant(float("nan"))
    # float64: squares of small gradients underflow in float32.
    left, right = _numbers(pseudo), _numbers(true)
    left_norm, right_norm = tf.norm(left), tf.norm(right)
    cosine = tf.tensordot(left, right, 1) / (left_norm * right_norm)
    missing = tf.logical_or(left_norm == 0.0, right_norm == 0.0)
    nan = tf.constant(float("nan"), tf.float64)
    values = (tf.where(missing, nan, x) for x in (cosine, left_norm / right_norm))
    cosine, ratio = (tf.cast(x, tf.float32) for x in values)
    return cosine, ratio


def _numbers(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(tf.cast(g, tf.float64), [-1]) for g in gradients], 0)

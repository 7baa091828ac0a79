"""Loss scaling: float16 holds nothing below 6e-8, where many a pseudo-gradient lies.

Module D takes the gradient of the loss times a scale S, and the pseudo-gradients travel so. Each
module divides those of its weights by S, in float32, as soon as it has them: before they are
averaged, looked at, clipped or applied. S is a power of two, so that in float32 this is exact.

An update that would not be finite is skipped. The S of the loss that overflowed is halved, once,
however many modules the overflow reaches; after `growth` good updates S doubles. Where L = K the
pipe is empty at each update and nothing else is to be said. Where L < K it goes on, and what is
under way stems from losses before the change. So S travels with it: module i divides by that of the
loss D - i steps ago. D = 3, an overflow at step 4:

    step       3     4     5     6     7
    module 3   S     S     S/2   S/2   S/2
    module 2   S     S     S     S/2   S/2
    module 1   S     S     S     S     S/2
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

# Those of Keras.
INITIAL, GROWTH = 2.0**15, 2000


class Scales(NamedTuple):
    """What a scan carries from step to step.

    Attributes:
      under_way: float32 [D], the scale of what module i meets at the next step: of the newest loss
        in module D, of the one before it in module D - 1 ...
      good: int64 [], updates of module D since the scale changed, or would have.
    """

    under_way: tf.Tensor
    good: tf.Tensor

    def newest(self) -> Scales:
        """Where nothing is under way between two steps: that of the newest loss for all."""
        with tf.device("CPU:0"):
            return Scales(tf.fill(tf.shape(self.under_way), self.under_way[-1]), self.good)


class LossScale(tf.Module):
    """The scale of the coming loss.

    Args:
      initial: at first, at least 1; a power of two is exact.
      growth: good updates after which it doubles; 0: it stands still.

    Attributes:
      value: float32 [], S; good: see `Scales`; skipped: int64 [], updates skipped so far, of all
        modules at once where L = K, of single modules else. `tf.Variable`s.
    """

    def __init__(self, initial: float = INITIAL, growth: int = GROWTH):
        super().__init__()
        self.growth = growth
        with tf.device("CPU:0"):
            self.value = tf.Variable(initial, trainable=False, dtype=tf.float32, name="loss_scale")
            self.good = tf.Variable(0, trainable=False, dtype=tf.int64, name="good_updates")
            self.skipped = tf.Variable(0, trainable=False, dtype=tf.int64, name="skipped_updates")

    def stuck(self, scale: tf.Tensor) -> tf.Tensor:
        """Whether an overflow at `scale` cannot be helped by a smaller one, bool."""
        return scale <= 1.0 if self.growth else tf.ones_like(scale, tf.bool)

    def start(self, depth: int) -> Scales:
        """With an empty pipe."""
        with tf.device("CPU:0"):
            return Scales(tf.fill([depth], self.value), tf.identity(self.good))

    def after(self, scales: Scales, bad: tf.Tensor, updated: tf.Tensor) -> Scales:
        """Of the next step.

        Args:
          bad: bool [D], whose pseudo-gradients were not finite at this step.
          updated: bool [], whether module D was updated after it.
        """
        with tf.device("CPU:0"):
            met = scales.under_way
            value, good = met[-1], scales.good
            if self.growth:
                good = tf.where(
                    tf.reduce_any(bad), tf.zeros_like(good), good + tf.cast(updated, tf.int64)
                )
                grown = tf.where(good >= self.growth, 2 * value, value)
                grown = tf.where(tf.math.is_finite(grown), grown, value)
                good = tf.where(good >= self.growth, tf.zeros_like(good), good)
                halved = tf.where(bad, tf.maximum(met / 2, 1), value)
                value = tf.where(
                    tf.reduce_any(bad), tf.minimum(value, tf.reduce_min(halved)), grown
                )
            return Scales(tf.concat([met[1:], [value]], 0), good)

    def keep(self, scales: Scales) -> None:
        """Write them to the variables."""
        self.value.assign(scales.under_way[-1])
        self.good.assign(scales.good)

    def count(self, skipped: tf.Tensor | None) -> None:
        """Take in so many skipped updates, int32 [D]."""
        assert skipped is not None
        self.skipped.assign_add(tf.cast(tf.reduce_sum(skipped), tf.int64))

    def judge(self, pseudo_gradients: Sequence[Sequence[tf.Tensor]]) -> tuple[tf.Tensor, tf.Tensor]:
        """Where L = K, after an episode; and the scale of the next one.

        Returns:
          bool [], whether all modules are to be updated, or none; bool [], whether what they would
          have been updated by is to be shown: also where it is not finite, and no smaller scale
          will help.
        """
        finite = [all_finite(found) for found in pseudo_gradients]
        with tf.device("CPU:0"):
            good = tf.reduce_all(tf.stack(finite))
            stuck = self.stuck(tf.identity(self.value))
            self.count(tf.cast(~good, tf.int32))
            self.keep(self.after(self.start(1), tf.reshape(~good, [1]), good))
            return good, good | stuck


def all_finite(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """bool [], on their device."""
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients] or [True])


def unscaled(gradients: Sequence[tf.Tensor], scale: tf.Tensor | None) -> list[tf.Tensor]:
    """Divided by the scale, in float32 at least."""
    if scale is None:
        return list(gradients)
    wide = [tf.cast(g, tf.float32) if g.dtype.size < 4 else g for g in gradients]
    pairs = zip(wide, gradients, strict=True)
    return [tf.cast(w / tf.cast(scale, w.dtype), g.dtype) for w, g in pairs]

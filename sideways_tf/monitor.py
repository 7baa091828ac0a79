"""What the last batch has shown of its updates."""

import tensorflow as tf


class Monitor:
    """What the last batch has shown of its updates, by module.

    Attributes:
      gradient_mean, gradient_norm: float32 variables [D], mean and L2 norm of all numbers of a
        module's averaged (pseudo-)gradient, before the optimizer clips it; means over its updates.
      updates: int32 variable [D], how many there were; of float16, less those that were skipped.
      loss, learning_rate: float32 variables []; the rate is that of its first update.
    """

    def __init__(self, depth: int):
        self.gradient_mean = tf.Variable(tf.zeros([depth]), trainable=False)
        self.gradient_norm = tf.Variable(tf.zeros([depth]), trainable=False)
        self.updates = tf.Variable(tf.zeros([depth], tf.int32), trainable=False)
        self.loss = tf.Variable(0.0, trainable=False)
        self.learning_rate = tf.Variable(0.0, trainable=False)

    def take(self, mean: tf.Tensor, norm: tf.Tensor, updates: tf.Tensor) -> None:
        """Sums over `updates` updates."""
        counts = tf.maximum(tf.cast(updates, tf.float32), 1.0)
        self.gradient_mean.assign(mean / counts)
        self.gradient_norm.assign(norm / counts)
        self.updates.assign(updates)

"""Data-parallel BP: the whole network on every device, the clips of a batch split among them.

What TensorFlow offers for several devices, `tf.distribute.MirroredStrategy`. Batch norm sees the
clips of its own device only, so that VGG-8 trains another network than with one device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf


class DataParallel:
    """BP over all frames of a clip on `devices`, each with its share of the clips.

    Args:
      make_layers: gives the network's layers, unbuilt.
      make_optimizer: gives a Keras optimizer.
      devices: TensorFlow device names; the batch has to be a multiple of their number.
      at_once: whether all frames of a clip are one batch; else frame by frame, which keeps fewer
        activations.
    """

    def __init__(
        self,
        make_layers: Callable[[], Sequence[tf.keras.layers.Layer]],
        make_optimizer: Callable[[], tf.keras.optimizers.Optimizer],
        devices: Sequence[str],
        at_once: bool,
    ):
        self.strategy = tf.distribute.MirroredStrategy(list(devices))
        self.at_once = at_once
        with self.strategy.scope():
            self.model = tf.keras.Sequential(list(make_layers()))
            self.optimizer = make_optimizer()

    def __call__(self, clip: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Train on clip float [K, B, H, W, 3] with labels int32 [B]; the mean loss, []."""
        if not self.model.built:
            with self.strategy.scope():
                self.model.build([None, *clip.shape[2:]])
        return self._step(clip, labels)

    @tf.function(autograph=False)
    def _step(self, clip: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        losses = self.strategy.run(self._replica, (clip, labels))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def _replica(self, clip: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """One device's share: losses and gradients are of the mean over the whole batch."""
        context = tf.distribute.get_replica_context()
        share = labels.shape[0] // context.num_replicas_in_sync
        start = context.replica_id_in_sync_group * share
        clip, labels = clip[:, start : start + share], labels[start : start + share]
        learn = self._at_once if self.at_once else self._frame_by_frame
        loss, gradients = learn(clip, labels, context.num_replicas_in_sync)
        self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
        return loss

    def _at_once(
        self, clip: tf.Tensor, labels: tf.Tensor, replicas: int
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        frames = tf.reshape(clip, [-1, *clip.shape[2:]])
        return self._gradients(frames, tf.tile(labels, [clip.shape[0]]), replicas)

    def _frame_by_frame(
        self, clip: tf.Tensor, labels: tf.Tensor, replicas: int
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        count = clip.shape[0]

        def body(n: tf.Tensor, loss: tf.Tensor, sums: list[tf.Tensor]) -> tuple:
            more, found = self._gradients(clip[n], labels, replicas * count)
            return n + 1, loss + more, [a + b for a, b in zip(sums, found, strict=True)]

        sums = [tf.zeros(v.shape, v.dtype) for v in self.model.trainable_variables]
        start = (tf.constant(0), tf.zeros([]), sums)
        _, loss, sums = tf.while_loop(
            lambda n, *_: n < count, body, start, maximum_iterations=count, parallel_iterations=1
        )
        return loss, sums

    def _gradients(
        self, frames: tf.Tensor, labels: tf.Tensor, parts: int
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The mean loss of `frames` over `parts`, and its gradients."""
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels, self.model(frames, training=True)
            )
            loss = tf.reduce_mean(losses) / parts
        return loss, tape.gradient(loss, self.model.trainable_variables)

"""What `fit`, `evaluate` and `predict` find out of their data before Keras takes it apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sideways_tf import targets as target_lib
from sideways_tf.errors import UserError
from sideways_tf.modules import SidewaysBlock
from sideways_tf.optimizers import ModuleOptimizers
from sideways_tf.streaming import time_major


class Fitting(tf.keras.Model):
    """The part of `SidewaysModel` that looks at data: K and the frame's shape have to be known."""

    modules: list[SidewaysBlock]
    optimizers: ModuleOptimizers
    _build: Callable[[tf.TensorSpec], None]
    _frame_loss: Callable[..., tf.Tensor]
    _has_metrics: bool
    _specs: list[tf.TensorSpec]  # Of the clips and targets of a batch, as far as they were seen.

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; all batches of one call have clips of one length."""
        x = self._looked_at(x, y)
        if self._specs and hasattr(self, "_frame_loss"):
            # Callbacks may restore all variables before the first batch: they have to be there.
            self._build(self._specs[0])
            self.optimizers.make(self.modules)
            self._build_metrics()
        return super().fit(x, y, *args, **kwargs)

    def _build_metrics(self) -> None:
        """Keras makes their variables in the first step, which is then traced twice."""
        if not self._has_metrics or self.compiled_metrics.built or len(self._specs) < 2:
            return
        clips, given = self._specs
        out = self.modules[-1].facts.h_out
        zeros = tf.zeros([1, *given.shape[1:]], given.dtype)
        (target, *_) = tf.unstack(target_lib.per_frame(zeros, clips.shape[1], out.shape[1:]))
        self.compiled_metrics.build(tf.zeros([1, *out.shape[1:]], out.dtype), target)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As in Keras, over all frames of all clips."""
        return super().evaluate(self._looked_at(x, y), y, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As in Keras: clips [N, K, ...] -> outputs of all frames [N, K, ...]."""
        return super().predict(self._looked_at(x), *args, **kwargs)

    def predict_step(self, data: Any) -> tf.Tensor:
        """The outputs of a batch of clips."""
        return self(self._unpacked(data)[0])

    def _looked_at(self, x: Any, y: Any = None) -> Any:
        """`x`. Keras forgets what shape a `Sequence` has, and that K was known when it changes."""
        specs, x = target_lib.first_specs(x, y)
        if specs != self._specs:
            self._specs = specs
            self.train_function = self.test_function = self.predict_function = None
        return x

    def _unpacked(self, data: Any) -> list[Any]:
        """Clips, targets and weights of a batch, of the shapes that were seen."""
        given = tf.keras.utils.unpack_x_y_sample_weight(data)
        parts = [None if part is None else tf.convert_to_tensor(part) for part in given]
        for i, spec in enumerate(self._specs):
            part = parts[i]
            if part is not None and not part.shape[1:].is_fully_defined():
                parts[i] = tf.ensure_shape(part, spec.shape)
        return parts

    def _clip_and_targets(self, data: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """A batch as engines take it: time-major, a target for each frame."""
        clips, targets, weights = self._unpacked(data)
        if not hasattr(self, "_frame_loss"):
            raise UserError("the model is not compiled: call compile(optimizer, loss) first")
        if weights is not None:
            raise UserError("sample_weight or class_weight is given: every clip counts alike here")
        if targets is None:
            raise UserError("there are no targets: give one for each clip, or one for each frame")
        self._build(tf.TensorSpec(clips.shape, clips.dtype))
        out = self.modules[-1].facts.h_out
        turned = target_lib.per_frame(targets, clips.shape[1], out.shape[1:])
        batch = tf.TensorSpec([clips.shape[0], *out.shape[1:]], out.dtype)
        target_lib.check_loss(self._frame_loss, turned, batch)
        return time_major(clips), turned

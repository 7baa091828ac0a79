"""SidewaysModel: a Keras model that trains any network depth-parallel, module by module."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from sideways_tf import targets as target_lib
from sideways_tf.assembly import Assembly, checked
from sideways_tf.engines import Engine, Episode
from sideways_tf.engines.inference import infer_at_once
from sideways_tf.engines.passes import clip_loss, weight_penalties
from sideways_tf.errors import UserError
from sideways_tf.fitting import Fitting
from sideways_tf.learning import Learning
from sideways_tf.modules import SidewaysBlock
from sideways_tf.optimizers import Lateness, ModuleOptimizers, OptimizerLike
from sideways_tf.saving import Saving
from sideways_tf.streaming import Streaming, time_major

mixed_precision = tf.keras.mixed_precision


@tf.keras.utils.register_keras_serializable("sideways_tf")
class SidewaysModel(Saving, Fitting, Streaming, Learning, Assembly):
    """A network as D modules, each on its device, trained by Sideways or by BP.

    Use it like any Keras model: `compile`, `fit`, `evaluate`, `predict`, callbacks, `save`. Clips
    are float [B, K, H, W, C]; targets are one for a clip, [B, ...], or one for each frame,
    [B, K, ...] (see `targets.per_frame`). It predicts and is evaluated frame by frame.

    Args:
      network: a Keras model from one tensor, a batch of frames, to one tensor; or a list of layers,
        one a module. It is left as it is, but for its weights, which are trained.
      modules: D, into how many modules the network is cut (`split`); left out for a list.
      skips: (source, target) or (source, target, delay), modules from 1: module `target` also
        reads what `source` emitted `delay` steps ago; of a list of layers.
      join: what a module makes of all that it reads: "add", or "concat" along the last axis.
      align: the delay of a skip that names none: True, target - source, so that it meets its own
        frame; else 1, so that it brings a newer frame (see docs/skip_sideways.md). With a Keras
        model, True and False let branches cross the cuts (`split`); None: none may.
      algorithm: "sideways" or "bp".
      engine: of sideways "pipelined" or "time_shifted", of bp "frame_by_frame", "batched" or
        "gpipe"; "auto" by the number of devices.
      devices: TensorFlow devices for the modules, in order, in a list or with commas; "auto" is all
        GPUs, else all CPUs; "gpu" all GPUs.
      placement: "balanced" by measured times, "one_per_module", or a device for each module.
      widen: "balanced" may share one module out over several devices, by output channels, where
        its layers allow it (see `modules/wide.py`); by counted operations.
      update_every: L, computation steps between two updates (section 3.4: an episode is "the whole
        sampled video clip or its subsequence"); 0, or K and more: one update a clip. With fewer the
        pipe goes on from one update to the next, and BP drops the frames that come while it is
        blocked.
      dropout_mask: "episode", the masks of dropout hold for a whole clip, so that a frozen stream
        gives BP's gradients; "step", they are drawn anew for each frame.
      seed: of what layers draw; None: from the global seed (`tf.keras.utils.set_random_seed`).

    Attributes:
      modules: the D `SidewaysBlock`s, once the model is built.
      iteration, steps: int64 variables: batches, and computation steps, trained on so far.
      monitor: see `Monitor`.

    Raises:
      UserError: naming the argument, its value and the remedy.
    """

    def __init__(
        self,
        network: tf.keras.Model | Sequence[tf.keras.layers.Layer],
        modules: int | None = None,
        *,
        skips: Sequence[Sequence[int]] = (),
        join: str = "add",
        align: bool | None = None,
        algorithm: str = "sideways",
        engine: str = "auto",
        devices: str | Sequence[str] = "auto",
        placement: str = "balanced",
        widen: bool = False,
        update_every: int = 0,
        dropout_mask: str = "episode",
        seed: int | None = None,
        **kwargs: Any,
    ):
        # The policies are those of the network's layers: its inputs are not for this model to cast.
        own = {"name": "sideways_model", "dtype": mixed_precision.global_policy().variable_dtype}
        super().__init__(**{**own, **kwargs})
        given = checked(network, modules, align is not None)
        self._source = lambda: given  # Hidden from Keras, which would count its weights twice.
        self._depth = modules
        self._wire(skips, join, align)
        self._engine_arguments: dict[str, Any] = {
            "algorithm": algorithm, "engine": engine, "masks": dropout_mask
        }  # fmt: skip
        self._device_arguments: dict[str, Any] = {
            "devices": devices, "placement": placement, "widen": widen
        }  # fmt: skip
        self.update_every = update_every
        self._check_arguments()
        self.modules: list[SidewaysBlock] = []
        self._specs = []
        self.engine: Engine | None = None
        self._engine_for: tuple[Any, ...] | None = None
        self._whole: Engine | None = None
        self._as_pipe: Callable[[tf.Tensor], tf.Tensor] | None = None
        self._originals: Callable[[], list[tf.keras.layers.Layer]] = list
        self._hooks: list[Callable[[tf.Tensor, tf.Tensor, tf.Tensor, Episode], None]] = []
        drawn = random.randrange(2**31) if seed is None else seed
        self.seed = tf.Variable(drawn, dtype=tf.int32, trainable=False, name="seed")
        self.iteration = tf.Variable(0, dtype=tf.int64, trainable=False, name="iteration")
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="steps")
        self._now: tf.Tensor | None = None  # Steps before an update inside a clip; see `_clock`.

    def compile(
        self,
        optimizer: OptimizerLike = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
        delay_rates: str = "none",
        look_ahead: str = "none",
        **kwargs: Any,
    ) -> None:
        """As in Keras; each module gets its own copy of the optimizer, on its device.

        Args:
          optimizer: a name, an optimizer, or a function that makes one. The copies share its
            learning rate, which callbacks may set; a schedule is one of the updates that a module
            makes which is due at every step: of batches where L = K.
          loss: a name, a Keras loss or a function (targets [B, ...], outputs [B, ...]) -> [B, ...]
            of one computation step; the mean over examples and frames is taken.
          metrics: of frames: outputs [N, ...] against the targets of the same N frames.
          delay_rates, look_ahead: see `Lateness`; "none" is the paper's.

        Raises:
          UserError: for `loss_weights` and `weighted_metrics`, which there are no weights for; for
            means against lateness that would do nothing.
        """
        for name, value in (("loss_weights", loss_weights), ("weighted_metrics", weighted_metrics)):
            if value is not None:
                raise UserError(f"{name}={value}: there is one loss, without weights; leave it out")
        self._frame_loss = target_lib.frame_loss(loss)
        lateness = Lateness(delay_rates, look_ahead, self.update_every)
        lateness.check(self._engine_arguments["algorithm"])
        self.optimizers = ModuleOptimizers(optimizer, self.update_count, lateness)
        self.module_optimizers = self.optimizers.each  # For `save` to find them.
        super().compile(self.optimizers.template, loss=None, metrics=metrics, **kwargs)
        means = {"delay_rates": delay_rates, "look_ahead": look_ahead}
        self.loss, self._compiled = loss, {"loss": loss, "metrics": metrics, **means}
        self._loss_tracker = tf.keras.metrics.Mean("loss")
        self._has_metrics = metrics is not None
        if self.built:
            self._build(tf.TensorSpec(self._build_input_shape, self.modules[0].facts.h_in.dtype))

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        """Those that are shown, the loss first."""
        tracker = getattr(self, "_loss_tracker", None)
        others = [metric for metric in super().metrics if metric is not tracker]
        return [tracker, *others] if tracker else others

    def call(self, clips: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Clips [B, K, ...] -> outputs of all frames [B, K, ...], as the network is tested."""
        del training
        if self.wiring.skips:
            out = infer_at_once(self.modules, clips, self.wiring)
            return tf.ensure_shape(out, [*clips.shape[:2], *out.shape[2:]])
        shape = tf.shape(clips)
        frames = tf.reshape(clips, tf.concat([[-1], shape[2:]], 0))
        h = tf.ensure_shape(frames, [None, *clips.shape[2:]])
        for module in self.modules:
            h = module(h, training=False)
        out = tf.reshape(h, tf.concat([shape[:2], tf.shape(h)[1:]], 0))
        return tf.ensure_shape(out, [*clips.shape[:2], *h.shape[1:]])

    def run_frames(self, frames: tf.Tensor) -> tf.Tensor:
        """Frames [N, ...] -> outputs [N, ...], as the network is tested, float32 of half precision.

        Traced once.
        """
        if not hasattr(self, "_run_frames"):
            self._run_frames = tf.function(
                lambda h: wide(self(h[tf.newaxis])[0]), autograph=False, reduce_retracing=True
            )
        return self._run_frames(frames)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Loss, with what weights' regularizers add, and metrics over all frames of a batch."""
        clip, targets = self._clip_and_targets(data)
        outputs = time_major(self(time_major(clip)))
        loss = clip_loss(self._frame_loss, targets, outputs)
        return self._shown(loss + weight_penalties(self.modules, loss.dtype), targets, outputs)

    def _shown(
        self, loss: tf.Tensor, targets: tf.Tensor, outputs: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        """Take a batch into the metrics; their values. The last targets are those of `outputs`."""
        self._loss_tracker.update_state(loss, tf.cast(tf.shape(targets)[1], loss.dtype))
        if self._has_metrics:
            assert outputs is not None
            last = targets[targets.shape[0] - outputs.shape[0] :]
            self.compiled_metrics.update_state(_flat(last), _flat(outputs))
        return {metric.name: metric.result() for metric in self.metrics}


def wide(outputs: tf.Tensor) -> tf.Tensor:
    """Half precision as float32."""
    return tf.cast(outputs, tf.float32) if outputs.dtype.size < 4 else outputs


def _flat(clip: tf.Tensor) -> tf.Tensor:
    """[T, B, ...] -> [T * B, ...]."""
    return tf.reshape(clip, tf.concat([[-1], tf.shape(clip)[2:]], 0))

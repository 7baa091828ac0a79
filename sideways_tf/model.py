"""SidewaysModel: a Keras model that trains any network depth-parallel, module by module."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from sideways_tf import targets as target_lib
from sideways_tf.engines import Engine, Episode, LossScale, StepEngine, make_engine, schedule
from sideways_tf.engines.inference import infer_at_once
from sideways_tf.engines.passes import clip_loss, weight_penalties
from sideways_tf.engines.scan import module_statistics
from sideways_tf.errors import UserError
from sideways_tf.fitting import Fitting
from sideways_tf.modules import SidewaysBlock, build_modules, split
from sideways_tf.modules.join import joined_network
from sideways_tf.modules.split import check_cut, copy_layer, find_units
from sideways_tf.modules.step import MASKS
from sideways_tf.modules.wiring import make_wiring
from sideways_tf.monitor import Monitor
from sideways_tf.optimizers import Lateness, ModuleOptimizers, OptimizerLike
from sideways_tf.plan import devices as device_lib
from sideways_tf.saving import Saving, write_network
from sideways_tf.start import check_keras2
from sideways_tf.streaming import Streaming, time_major

mixed_precision = tf.keras.mixed_precision


@tf.keras.utils.register_keras_serializable("sideways_tf")
class SidewaysModel(Saving, Fitting, Streaming):
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

    built: bool

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
        given = _checked(network, modules, align is not None)
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

    def _wire(self, skips: Sequence[Sequence[int]], join: str, align: bool | None) -> None:
        self._skip_arguments = {"skips": [list(x) for x in skips], "join": join, "align": align}
        if skips and self._depth:
            raise UserError(
                f"skips={list(skips)}: they number the layers of a list, modules={self._depth} "
                "would cut the network anew: leave modules out"
            )
        if self._depth and align is not None:
            crossed = split(self._given, self._depth, align=align)
            self._crossed = lambda: crossed  # Hidden from Keras, as above.
            skips, join = crossed.skips, crossed.join
        self.wiring = make_wiring(self.depth, skips, join, bool(align))

    def _check_arguments(self) -> None:
        if tf.distribute.has_strategy():
            raise UserError(
                "a SidewaysModel places its modules by itself: make it outside of a tf.distribute "
                "scope"
            )
        if self.update_every < 0:
            raise UserError(
                f"update_every={self.update_every}: give 0 for one update a clip, or 1 and more"
            )
        names = device_lib.find_devices(self._device_arguments["devices"])
        placement = self._device_arguments["placement"]
        device_lib.device_numbers(placement, self.depth, names, lambda: [1.0] * self.depth)
        if self._device_arguments["widen"] and placement != "balanced":
            raise UserError(f"placement={placement}: widen=True plans by itself: give balanced")
        masks = self._engine_arguments["masks"]
        if masks not in MASKS:
            raise UserError(f"dropout_mask={masks}: give one of {', '.join(MASKS)}")
        # An engine of one layer says what is wrong with the other words.
        make_engine(
            modules=[SidewaysBlock(tf.keras.layers.Layer()) for _ in range(self.depth)],
            loss=tf.math.squared_difference,
            wiring=self.wiring,
            **self._engine_arguments,
        )

    # -- the network ------------------------------------------------------------------------------

    @property
    def _given(self) -> tf.keras.Model | list[tf.keras.layers.Layer]:
        return self._source()

    @property
    def depth(self) -> int:
        """D."""
        return self._depth or len(self._given)

    @property
    def network(self) -> tf.keras.Model:
        """The plain Keras model, with the weights as they are trained now."""
        for original, module in zip(self._originals(), self.modules, strict=True):
            if original is not module.layer:
                original.set_weights(module.layer.get_weights())
        if isinstance(self._given, tf.keras.Model):
            return self._given
        if not self.built:
            raise UserError("the model is not built: call fit, or build([B, K, H, W, C]), first")
        frame = tf.keras.Input(self._build_input_shape[2:], dtype=self.modules[0].facts.h_in.dtype)
        if self.wiring.skips:
            return joined_network(frame, self._given, self.wiring, f"{self.name}_network")
        return tf.keras.Sequential([frame, *self._given], name=f"{self.name}_network")

    def export(self, path: str, **kwargs: Any) -> None:
        """Save the plain Keras model, `network`, which loads without this package."""
        write_network(self.network, path, kwargs)

    def build(self, input_shape: Any) -> None:
        """Cut and place the network, and make its variables, for clips [B, K, H, W, C]."""
        if not self.built:
            self._build(tf.TensorSpec(input_shape, self._frame_type()))

    def _frame_type(self) -> tf.DType:
        inputs = getattr(self._given, "inputs", None)
        return inputs[0].dtype if inputs else tf.float32

    def _build(self, clip: tf.TensorSpec) -> None:
        """For clips like `clip` [B, K, ...]; again where they have another length or frame size."""
        shape = tf.TensorShape(clip.shape)
        if shape.rank is None or shape.rank < 3 or None in shape[1:]:
            raise UserError(f"clips of shape {shape}: give [B, K, H, W, C], all but B known")
        frame = tf.TensorSpec([shape[0], *shape[2:]], clip.dtype)
        with tf.init_scope():
            if not self.modules:
                self.modules = self._make_modules(frame)
                self._build_input_shape = shape
                self.monitor = Monitor(len(self.modules))
            self._make_engine(shape[1])
            if self.engine is not None:
                self.engine.build(frame)
            elif not self.built:
                build_modules(self.modules, frame, self.wiring)
            self.built = True

    def _make_modules(self, frame: tf.TensorSpec) -> list[SidewaysBlock]:
        measured = tf.TensorSpec([frame.shape[0] or 1, *frame.shape[1:]], frame.dtype)
        layers = list(self._given) if isinstance(self._given, list) else [self._given]
        if self._depth:
            crossed = self._skip_arguments["align"] is not None
            layers = self._crossed() if crossed else split(self._given, self._depth, frame=measured)
        names = device_lib.find_devices(self._device_arguments["devices"])
        if self._device_arguments["widen"] and len(names) > 1:
            placed = device_lib.place_wide(layers, measured, names, self.wiring)
        else:
            found = device_lib.place(
                self._device_arguments["placement"], layers, measured, names, self.wiring
            )
            placed = [(name, []) for name in found]
        self._originals = lambda: layers
        return [
            SidewaysBlock(_on_device(layer, device), device, slices)
            for layer, (device, slices) in zip(layers, placed, strict=True)
        ]

    def _streams(self, frames: int) -> bool:
        """Whether weights move before the clip ends (L < K)."""
        return 0 < self.update_every < frames

    def _make_engine(self, frames: int) -> None:
        """The engine for clips of K = `frames`, where the loss is known."""
        if not hasattr(self, "_frame_loss"):
            return
        if self.loss_scale is None and any(module.computes_in_float16 for module in self.modules):
            self.optimizers.loss_scale = LossScale()  # As Keras does.
        stream = self._streams(frames)
        made_for = stream, self._frame_loss, self.loss_scale
        if self.engine is None or made_for != self._engine_for:
            self._engine_for = made_for
            self.engine = make_engine(
                modules=self.modules, loss=self._frame_loss, stream=stream,
                loss_scale=self.loss_scale, wiring=self.wiring, **self._engine_arguments,
            )  # fmt: skip
            self._whole = None
            self._pipe = self.engine.network.place  # For checkpoints to find it.
        if stream:
            self.wiring.check_episode(frames)
            schedule.check_episode(self.depth, frames)

    # -- training ---------------------------------------------------------------------------------

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
    def loss_scale(self) -> LossScale | None:
        """Of float16; None where no module computes in it, before `compile`, and before `build`."""
        optimizers = getattr(self, "optimizers", None)
        return optimizers and optimizers.loss_scale

    def update_count(self) -> tf.Tensor:
        """int64 []: the updates so far of a module that is due at every step."""
        if not self.update_every:
            return self.iteration
        return (self.steps if self._now is None else self._now) // self.update_every

    def _clock(self) -> Callable[[tf.Tensor], contextlib.AbstractContextManager]:
        """See `scan`: `steps` counts whole clips, and within them updates know their own step."""
        start = tf.identity(self.steps)

        @contextlib.contextmanager
        def after(steps: tf.Tensor) -> Iterator[None]:
            self._now = start + tf.cast(steps, tf.int64)
            try:
                yield
            finally:
                self._now = None

        return after

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        """Those that are shown, the loss first."""
        tracker = getattr(self, "_loss_tracker", None)
        others = [metric for metric in super().metrics if metric is not tracker]
        return [tracker, *others] if tracker else others

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One batch of clips: an episode, or several where L < K, and the updates."""
        clip, targets = self._clip_and_targets(data)
        frames, seed = clip.shape[0], self.episode_seed()
        self.optimizers.make(self.modules)
        self.monitor.learning_rate.assign(tf.cast(self.optimizers.learning_rate(), tf.float32))
        if self._streams(frames):
            loss, outputs = self._learn(clip, targets, seed)
        else:
            loss, outputs = self._learn_whole(clip, targets, seed)
            self.steps.assign_add(frames)
        self.iteration.assign_add(1)
        self.monitor.loss.assign(tf.cast(loss, tf.float32))
        self.optimizers.count(self.update_count())
        shown = self._shown(loss, targets, outputs)
        if self.loss_scale is not None:
            shown["skipped_updates"] = tf.identity(self.loss_scale.skipped)
        return shown

    def _learn_whole(
        self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """L = K: one episode, then every module's update from its own pseudo-gradients."""
        assert self.engine is not None
        episode = self.engine(clip, targets, seed)
        for hook in self._hooks:
            hook(clip, targets, seed, episode)
        means, norms = [], []
        good, shown = None, None
        if self.loss_scale is not None:
            good, shown = self.loss_scale.judge(episode.pseudo_gradients)
        pairs = zip(self.modules, episode.pseudo_gradients, strict=True)
        for i, (module, found) in enumerate(pairs):
            with tf.device(module.device):
                mean, norm = module_statistics(found)
                self._update_if(good, i, found)
            means.append(mean)
            norms.append(norm)
        statistics, made = tf.stack([means, norms]), tf.ones([self.depth], tf.int32)
        if good is not None:
            statistics = tf.where(shown, statistics, tf.zeros_like(statistics))
            made *= tf.cast(good, tf.int32)
        self.monitor.take(statistics[0], statistics[1], made)
        return episode.loss, episode.outputs

    def _learn(
        self, clip: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor, goes_on: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """L < K: updates while the pipe goes on."""
        assert isinstance(self.engine, StepEngine)
        self.optimizers.make(self.modules)
        loss, scanned = self.engine.learn(
            clip, targets, seed, self.update_every, self._update,
            clock=self._clock, goes_on=goes_on, keep_outputs=self._has_metrics,
        )  # fmt: skip
        self.steps.assign_add(clip.shape[0])
        self.monitor.take(scanned.mean, scanned.norm, scanned.updates)
        if self.loss_scale is not None:
            self.loss_scale.count(scanned.skipped)
        late = self.engine.first_output
        return loss, None if scanned.outputs is None else scanned.outputs[late:]

    def _update(self, i: int, pseudo_gradients: list[tf.Tensor]) -> None:
        """theta_i := theta_i - alpha * pseudo-gradient, by the module's own optimizer."""
        self.optimizers.make(self.modules)
        module = self.modules[i]
        with tf.device(module.device):
            self.optimizers.apply(i, pseudo_gradients, module.trainable_variables)

    def _update_if(self, good: tf.Tensor | None, i: int, pseudo_gradients: list) -> None:
        """`_update`, where `good`, bool [], says so; None: it does."""

        def update() -> tf.Tensor:
            self._update(i, pseudo_gradients)
            return tf.constant(True)

        if good is None:
            update()
        else:
            tf.cond(good, update, lambda: tf.constant(False))

    def episode_seed(self) -> tf.Tensor:
        """int32 [2], of what is drawn in the coming batch."""
        return tf.stack([self.seed, tf.cast(self.iteration, tf.int32)])

    def pseudo_gradients(self, clips: Any, targets: Any, seed: Any = None) -> Episode:
        """One episode over whole clips, without moving a weight.

        Args:
          clips, targets: as `fit` takes them, one batch.
          seed: int32 [2], of what is drawn; None: that of the coming batch.

        Returns:
          Loss, outputs [T, B, ...] and pseudo-gradients, a list for each module.
        """
        clip, turned = self._clip_and_targets((clips, targets))
        if self._whole is None:
            self._whole = make_engine(
                modules=self.modules, loss=self._frame_loss, loss_scale=self.loss_scale,
                wiring=self.wiring,
                **self._engine_arguments,
            )  # fmt: skip
            # A call of an engine would write down what its modules remember.
            self._compute = tf.function(
                lambda *of, trained: self._whole.compute(*of)[0], autograph=False
            )
        self._whole.check_frames(clip.shape[0])
        self._whole.build(tf.TensorSpec(clip.shape[1:], clip.dtype))
        seed = tf.cast(self.episode_seed() if seed is None else seed, tf.int32)
        return self._compute(clip, turned, seed, trained=len(self.trainable_variables))

    # -- evaluation -------------------------------------------------------------------------------

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


def wide(outputs: tf.Tensor) -> tf.Tensor:
    """Half precision as float32."""
    return tf.cast(outputs, tf.float32) if outputs.dtype.size < 4 else outputs


def _flat(clip: tf.Tensor) -> tf.Tensor:
    """[T, B, ...] -> [T * B, ...]."""
    return tf.reshape(clip, tf.concat([[-1], tf.shape(clip)[2:]], 0))


def _on_device(layer: tf.keras.layers.Layer, device: str) -> tf.keras.layers.Layer:
    """The layer itself where its weights lie on `device` or are yet to be made; else a copy."""
    if not layer.built or all(device_lib.same_device(w.device, device) for w in layer.weights):
        return layer
    with tf.device(device):
        return copy_layer(layer)


def _checked(
    network: Any, modules: int | None, crossed: bool
) -> tf.keras.Model | list[tf.keras.layers.Layer]:
    """The network, if it is one that can be cut so; `crossed`: branches may cross."""
    if isinstance(network, list | tuple):
        for layer in network:
            check_keras2(layer)
        given = list(network)
    else:
        check_keras2(network)
        given = network
        if modules is None:
            raise UserError(
                "modules is missing: say into how many modules the network is cut (D), or give a "
                "list of layers, one a module"
            )
    if modules is not None:
        if not crossed:
            check_cut(find_units(given), modules)
    elif not given:
        raise UserError("a network needs at least one layer, none was given")
    return given

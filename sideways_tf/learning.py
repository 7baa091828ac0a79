"""What a `SidewaysModel` does with one batch of clips: episodes, and the updates of its modules."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from sideways_tf.engines import Engine, Episode, LossScale, StepEngine, make_engine
from sideways_tf.engines.windows import module_statistics
from sideways_tf.modules import SidewaysBlock
from sideways_tf.modules.wiring import Wiring
from sideways_tf.monitor import Monitor
from sideways_tf.optimizers import ModuleOptimizers


class Learning(tf.keras.Model):
    """The part of `SidewaysModel` that learns."""

    modules: list[SidewaysBlock]
    wiring: Wiring
    depth: Any  # A property, int.
    engine: Engine | None
    monitor: Monitor
    optimizers: ModuleOptimizers
    update_every: int
    seed: tf.Variable
    iteration: tf.Variable
    steps: tf.Variable
    _now: tf.Tensor | None
    _whole: Engine | None
    _engine_arguments: dict[str, Any]
    _has_metrics: bool
    _hooks: list[Callable[[tf.Tensor, tf.Tensor, tf.Tensor, Episode], None]]
    _frame_loss: Callable[..., tf.Tensor]
    _clip_and_targets: Callable[[Any], tuple[tf.Tensor, tf.Tensor]]
    _shown: Callable[..., dict[str, tf.Tensor]]
    _streams: Callable[[int], bool]

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

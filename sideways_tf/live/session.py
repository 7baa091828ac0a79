"""A stream that is learnt from frame by frame: one call of TensorFlow for each.

What a call holds is one computation step of all modules, each on its device, so that they work at
the same time; the call ends when all of them have ended. D = 3, Sideways, frame t at call t:

    call                1    2    3    4    5
    module 3                      f1b1 f2b2 f3b3      the output of call t stems from frame t - 2
    module 2                 f1   f2   f3b1 f4b2
    module 1            f1   f2   f3   f4   f5b1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from sideways_tf.engines import FrameByFrameBackprop, StepEngine, schedule
from sideways_tf.engines.engine import mean_loss
from sideways_tf.engines.passes import module_seeds, zero_gradients
from sideways_tf.engines.scan import Scanned, step_once
from sideways_tf.errors import UserError

if TYPE_CHECKING:
    from sideways_tf.model import SidewaysModel


class Live:
    """One stream of a compiled model with `update_every` of at least 1; see `SidewaysModel.live`.

    Args:
      model: whose weights, moments and pipe it moves. A stream begins with an empty pipe.
      batch: B, how many streams are learnt from side by side.
      by_clock: who drops frames where BP is blocked. False: the schedule; of the frames given BP
        takes 1, 2D, 4D - 1, ... True: the caller, who gives a frame whenever BP is free; each call
        is then BP's whole update cycle, and its output stems from the frame given.

    Attributes:
      place: what a checkpoint has to keep beside the model.

    Raises:
      UserError: naming what the model lacks.
    """

    def __init__(self, model: SidewaysModel, batch: int = 1, by_clock: bool = False):
        if not hasattr(model, "_frame_loss"):
            raise UserError("the model is not compiled: call compile(optimizer, loss) first")
        if not model.update_every:
            raise UserError(
                "update_every=0: a live stream is learnt from with update_every of at least 1"
            )
        if model.wiring.skips:
            raise UserError(
                "a live stream runs no skips: leave skips out, or give the model itself its "
                "frames, in parts, by advance"
            )
        if batch < 1:
            raise UserError(f"batch={batch}: give how many streams there are, 1 or more")
        self.model, self.batch = model, batch
        algorithm = model._engine_arguments["algorithm"]
        self.blocked = algorithm == "bp" and not by_clock
        self._whole_cycle = algorithm == "bp" and by_clock
        self.place = tf.train.Checkpoint()
        self._counts: tf.Tensor | None = None
        self._engine: StepEngine | None = None
        self._call = tf.function(self._learn, autograph=False)
        self._look = tf.function(self._only_look, autograph=False)
        if model.built:
            self.prepare(model._build_input_shape[2:])

    # -- the stream -------------------------------------------------------------------------------

    def step(self, frame: Any, target: Any, ahead: Any = None) -> tf.Tensor | None:
        """Take the next frame, and learn: one computation step of all modules.

        Args:
          frame: x^t, [B, ...], or one frame without the batch where B = 1. Of the model's type.
          target: y^t, [B, ...], without the batch where the frame is: what the output of this very
            step should be, though that stems from an earlier frame; see `source`.
          ahead: a later frame, that only is to be looked at: the output shown is then made from
            these, with the same delay, and nothing is learnt from them yet.

        Returns:
          What the network shows now, [B, ...]; None as long as no frame has come through.

        Raises:
          UserError: if a frame is of another shape or type than the stream's.
        """
        x, y = self._frame("frame", frame), target if tf.is_tensor(target) else np.asarray(target)
        if len(x.shape) > np.ndim(frame):
            y = y[np.newaxis]
        looked_at = None if ahead is None else self._frame("ahead", ahead)
        shown, self._counts = self._call(x, y, looked_at)
        return shown if self.source else None

    def look(self, ahead: Any) -> tf.Tensor | None:
        """Show without learning: for the first frames, whose targets have not come yet."""
        shown, self._counts = self._look(self._frame("ahead", ahead))
        return shown if self.source else None

    @property
    def t(self) -> int:
        """Computation steps that were learnt from, since the pipe was empty."""
        return int(self._facts[0])

    @property
    def looked(self) -> int:
        """Frames that were looked at, see `step`."""
        return int(self._facts[1])

    @property
    def source(self) -> int:
        """The number, from 1, of the frame that the output shown stems from; 0: none is shown.

        Of those given as `frame`; where there were some to look at, of those.
        """
        t, depth = self.looked or self.t, self.model.depth
        if self._whole_cycle:
            return t
        return max(0, schedule.source_frame("bp" if self.blocked else "sideways", t, depth))

    @property
    def delay(self) -> int:
        """How many frames ago that one was given; D - 1 in Sideways."""
        return (self.looked or self.t) - self.source

    @property
    def updates(self) -> int:
        """Of module 1, at the last step."""
        return int(self._facts[2])

    @property
    def loss(self) -> float:
        """Of the last step; 0 where there was none yet."""
        return float(self._facts[3])

    @property
    def _facts(self) -> np.ndarray:
        """Steps, frames looked at, updates of module 1, loss: of the last call, or as restored.

        One array for all: TensorFlow 2.15 loses some bytes with every tensor that it hands out.
        """
        if self._engine is None:
            return np.zeros([4])
        if self._counts is None:
            self._counts = self._count(self._engine.network.place.clock)
        return self._counts.numpy()

    def _count(self, t: tf.Tensor, updates: Any = 0, loss: Any = 0.0) -> tf.Tensor:
        numbers = (t, self.place.looked, updates, loss)
        return tf.stack([tf.cast(number, tf.float64) for number in numbers])

    @property
    def took(self) -> bool:
        """Whether the last frame was taken in: BP that is blocked drops it."""
        return not self.blocked or schedule.frame_taken(self.t, self.model.depth) == self.t

    def restart(self) -> None:
        """Empty the pipe, for a new stream; weights and moments stay."""
        assert self._engine is not None
        network = self._engine.network
        network.rest(network.empty(self.batch))
        for variable in tf.nest.flatten([self.place.sums, self.place.counts, self.place.pipe]):
            variable.assign(tf.zeros_like(variable))
        self.place.looked.assign(0)
        self._counts = None

    # -- how it is made ---------------------------------------------------------------------------

    def prepare(self, frame_shape: Any) -> None:
        """Make all variables for frames of this shape, without the batch; the pipe is empty then.

        Only to restore a checkpoint before the first step: `step` does it by itself.
        """
        model = self.model
        # As long a clip as there may be: a stream has no end.
        longest = schedule.cycle_length(model.depth) + model.update_every
        dtype = model.modules[0].facts.h_in.dtype if model.modules else model._frame_type()
        model._build(tf.TensorSpec([self.batch, longest, *frame_shape], dtype))
        model.optimizers.make(model.modules)
        engine = model.engine
        if self._whole_cycle:
            masks = model._engine_arguments["masks"]
            parts = model.modules, model._frame_loss, masks, model.loss_scale
            engine = FrameByFrameBackprop(*parts, model.wiring)
            engine.build(tf.TensorSpec([self.batch, *frame_shape], dtype))
        assert isinstance(engine, StepEngine)
        self._engine = engine
        if not hasattr(self.place, "looked"):
            self._make_place()
        self.restart()

    def _make_place(self) -> None:
        engine, every = self._engine, self.model.update_every
        assert engine is not None
        self.place.network = engine.network.place
        self.place.looked = tf.Variable(0, trainable=False, name="looked")
        self.place.sums, self.place.counts, self.place.pipe = [], [], []
        for module, (_, out) in zip(engine.modules, engine.network.specs, strict=True):
            with tf.device(module.device):
                zeros = zero_gradients(module) if every > 1 else []
                self.place.sums.append([tf.Variable(value, trainable=False) for value in zeros])
                if every > 1:
                    self.place.counts.append(tf.Variable(0, trainable=False))
                shape = [self.batch, *out.shape[1:]]
                self.place.pipe.append(tf.Variable(tf.zeros(shape, out.dtype), trainable=False))

    def _frame(self, name: str, value: Any) -> Any:
        """`value` as [B, ...] of the stream's type."""
        x = value if tf.is_tensor(value) else np.asarray(value)
        if self._engine is None:
            alone = self.batch == 1 and x.shape[:1] != (1,)
            self.prepare(x.shape if alone else x.shape[1:])
        assert self._engine is not None
        spec = self._engine.network.specs[0][0]
        if self.batch == 1 and len(x.shape) == spec.shape.rank - 1:
            x = x[np.newaxis]
        dtype, shape = tf.as_dtype(x.dtype), [self.batch, *spec.shape[1:]]
        if dtype != spec.dtype and not (dtype.is_floating and spec.dtype.is_floating):
            raise UserError(
                f"{name} is {dtype.name}, the model takes {spec.dtype.name}: give pixels as the "
                "network is meant to see them, such as float32 in [0, 1]"
            )
        if list(x.shape) != shape:
            raise UserError(f"{name} is of shape {list(x.shape)}: this stream's are {shape}")
        # Numbers stay NumPy's: TensorFlow 2.15 loses some bytes with every tensor it makes of them.
        return x if dtype == spec.dtype else tf.cast(x, spec.dtype)

    # -- in the graph -----------------------------------------------------------------------------

    def _learn(
        self, x: tf.Tensor, y: tf.Tensor, ahead: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What is shown, and what `_count` keeps."""
        model, engine = self.model, self._engine
        assert engine is not None
        network, scheme = engine.network, engine.scheme
        # Before any weight moves: what is shown is made by the weights that were there.
        shown = None if ahead is None else self._ahead(ahead)
        with tf.device(engine.modules[0].device):
            x = tf.identity(x)
        with tf.device(engine.modules[-1].device):
            y = tf.identity(y)
        state = network.resting(self.batch)
        found, counts = step_once(
            scheme, network, state, x, y, module_seeds(model.episode_seed(), model.depth),
            every=model.update_every, update=model._update,
            sums=tf.nest.map_structure(tf.convert_to_tensor, list(map(list, self.place.sums))),
            counts=[tf.convert_to_tensor(count) for count in self.place.counts],
        )  # fmt: skip
        network.rest(found.state)
        if network.loss_scale is not None:
            network.loss_scale.count(found.skipped)
        self._keep_window(found, counts)
        model.steps.assign_add(1)
        model.optimizers.count(model.update_count())
        due = [tf.cast(scheme.due(model.wiring, i, found.state.t), tf.int32)
               for i in range(1, model.depth + 1)]  # fmt: skip
        loss = mean_loss(network, found, due)
        model.monitor.loss.assign(tf.cast(loss, tf.float32))
        assert found.updates is not None
        model.monitor.updates.assign(found.updates)
        counted = self._count(found.state.t, found.updates[0], loss)
        return found.outputs if shown is None else shown, counted

    def _keep_window(self, found: Scanned, counts: list[tf.Tensor]) -> None:
        for kept, value in zip(self.place.counts, counts, strict=False):
            kept.assign(value)
        if self.model.update_every > 1:
            for kept, value in zip(
                tf.nest.flatten(list(map(list, self.place.sums))),
                tf.nest.flatten(found.sums),
                strict=True,
            ):
                kept.assign(value)

    def _only_look(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What is shown, and what `_count` keeps."""
        assert self._engine is not None
        return self._ahead(x), self._count(self._engine.network.place.clock)

    def _ahead(self, x: tf.Tensor) -> tf.Tensor:
        """One step of a pipe that only shows (`engines/inference.py`), beside the one that learns.

        BP that takes a frame whole looks at a frame whole.
        """
        h = x
        below = [x, *map(tf.convert_to_tensor, self.place.pipe)]
        emitted = []
        for i, module in enumerate(self.model.modules):
            with tf.device(module.device):
                h = module(h if self._whole_cycle else below[i], training=False)
                emitted.append(tf.ensure_shape(h, below[i + 1].shape))
        for variable, value in zip(self.place.pipe, emitted, strict=True):
            variable.assign(value)
        self.place.looked.assign_add(1)
        return emitted[-1]

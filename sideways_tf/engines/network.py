"""The modules with their wiring and loss, and the pipe between them: what each carries on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sideways_tf.engines.loss_scale import LossScale, Scales
from sideways_tf.engines.passes import Loss, loss_type
from sideways_tf.errors import UserError
from sideways_tf.modules.block import SidewaysBlock, build_modules
from sideways_tf.modules.join import joined, parts_of
from sideways_tf.modules.step import MASKS
from sideways_tf.modules.wiring import Edge, Wiring


class Carried(NamedTuple):
    """All that a module keeps from one computation step to the next.

    Attributes:
      emitted: h_i [B, ...], for the module above.
      below: [the pseudo-gradient of its input], for the modules that it reads; [] in module 1.
      memory: values of the variables that the layer itself moves (`SidewaysBlock.state`).
      older: what it emitted before, the newest first, as far as skips with a delay reach back.
    """

    emitted: tf.Tensor
    below: list[tf.Tensor]
    memory: list[tf.Tensor]
    older: list[tf.Tensor]

    def at(self, delay: int) -> tf.Tensor:
        """What the module emitted `delay` steps ago."""
        return self.emitted if delay == 1 else self.older[delay - 2]

    def pushed(self) -> list[tf.Tensor]:
        """`older` of the next step."""
        return [self.emitted, *self.older][: len(self.older)]


class State(NamedTuple):
    """Where the pipe stands between two computation steps.

    Attributes:
      t: int32 [], steps made since the last restart.
      frame: [B, ...], the newest frame that a blocked BP has taken in; zeros else.
      carried: of each module; `carried[-1].emitted` is the output shown.
      scales: [those of the losses], where there is a loss scale.
      order: of what crosses between machines, see `Mail`.
    """

    t: tf.Tensor
    frame: tf.Tensor
    carried: list[Carried]
    scales: list[Scales]
    order: Sequence[tf.Tensor] = ()

    def scale_at(self, module: int) -> tf.Tensor | None:
        """float32 [], of the loss from which stems what `module` meets; None: there is no scale."""
        return self.scales[0].under_way[module - 1] if self.scales else None


class Network:
    """D modules, what they read, and the loss of the last one's output.

    Between calls its pipe rests in `tf.Variable`s, which a checkpoint keeps: the modules' buffers,
    the newest frame and the clock. Within a call it travels as a `State`.

    Args:
      modules: H_1 .. H_D, from the one that takes the frame on.
      loss: (targets [B, ...], outputs [B, ...]) -> losses [B, ...], not averaged over examples;
        or a Keras loss object.
      masks: "episode" or "step": how long a mask of dropout holds; see `modules/step.py`.
      loss_scale: for float16; None: losses are taken as they are.
      wiring: None: each module reads the one below.

    Attributes:
      specs: of each module's input and output, once it is built.
      place: where the pipe rests beside the modules' buffers: `clock`, int32 [], `frame` and, with
        a loss scale, `under_way`, see `State`; `tf.Variable`s, made by `make_buffers`.
      mail: what crosses to other machines, whose modules are `Elsewhere`; None where all modules
        are in one loop. See `machines.py`.
    """

    def __init__(
        self,
        modules: Sequence[SidewaysBlock],
        loss: Loss,
        masks: str = "episode",
        loss_scale: LossScale | None = None,
        wiring: Wiring | None = None,
    ):
        if not modules:
            raise UserError("a network needs at least one module, none was given")
        if masks not in MASKS:
            raise UserError(f"masks={masks}: give one of {', '.join(MASKS)}")
        self.modules = list(modules)
        self.loss, self.masks, self.loss_scale = loss, masks, loss_scale
        self.wiring = wiring or Wiring(len(self.modules))
        self.specs: list[tuple[tf.TensorSpec, tf.TensorSpec]] = []
        self.place = tf.train.Checkpoint()
        self.mail: Any = None

    @property
    def depth(self) -> int:
        """D."""
        return len(self.modules)

    @property
    def loss_type(self) -> tf.DType:
        """In which losses are summed."""
        return loss_type(self.specs[-1][1].dtype)

    @property
    def has_loss(self) -> list[bool]:
        """Of each module, whether it gives a loss: module D, and those that add one themselves."""
        last = self.depth
        return [
            self.here(i) and (i == last or module.facts.adds_loss)
            for i, module in enumerate(self.modules, 1)
        ]

    def here(self, i: int) -> bool:
        """Whether module i is one of those that this network runs itself."""
        return self.mail is None or isinstance(self.modules[i - 1], SidewaysBlock)

    def scale(self) -> tf.Tensor | None:
        """float32 [], of the coming loss; None: there is no loss scale."""
        return None if self.loss_scale is None else tf.convert_to_tensor(self.loss_scale.value)

    def build(self, frame: tf.TensorSpec) -> None:
        """Make all variables for a batch of frames, `frame` [B, ...]; again where it is another."""
        if not self.specs or frame.shape[1:] != self.specs[0][0].shape[1:]:
            self.specs = build_modules(self.modules, frame, self.wiring)

    def make_buffers(self) -> None:
        """Make the variables in which the pipe rests, once."""
        if hasattr(self.place, "clock"):
            return
        for i, module in enumerate(self.modules):
            module.make_buffers(first=i == 0, older=self.wiring.older(i + 1))
        frame = self.specs[0][0]
        with tf.device(self.modules[0].device):
            zeros = tf.zeros([frame.shape[0] or 1, *frame.shape[1:]], frame.dtype)
            shape = tf.TensorShape(None)
            self.place.frame = tf.Variable(zeros, trainable=False, name="frame", shape=shape)
        with tf.device("CPU:0"):
            self.place.clock = tf.Variable(0, trainable=False, name="clock", dtype=tf.int32)
            if self.loss_scale is not None:
                ones = tf.ones([self.depth])
                self.place.under_way = tf.Variable(ones, trainable=False, name="under_way")

    def empty(self, batch: tf.Tensor | int) -> State:
        """The state after a restart, for a new clip of `batch` examples: zeros on their devices."""
        carried = []
        for i, (module, (h_in, h_out)) in enumerate(zip(self.modules, self.specs, strict=True)):
            with tf.device(module.device):
                below = [_zeros(batch, h_in)] if i else []
                older = [_zeros(batch, h_out) for _ in range(self.wiring.older(i + 1))]
                carried.append(Carried(_zeros(batch, h_out), below, module.memory(), older))
        scales = [self.loss_scale.start(self.depth)] if self.loss_scale is not None else []
        with tf.device(self.modules[0].device):
            frame = _zeros(batch, self.specs[0][0])
        return State(tf.constant(0), frame, carried, scales)

    def resting(self, batch: int) -> State:
        """The state in the variables, of `batch` examples."""
        carried = []
        for i, (module, (h_in, h_out)) in enumerate(zip(self.modules, self.specs, strict=True)):
            below = [_read(module.pseudo_gradient, batch, h_in)] if i else []
            emitted = _read(module.activation, batch, h_out)
            older = [_read(buffer, batch, h_out) for buffer in module.older]
            carried.append(Carried(emitted, below, module.memory(), older))
        frame = _read(self.place.frame, batch, self.specs[0][0])
        scales = []
        if self.loss_scale is not None:
            under_way = tf.convert_to_tensor(self.place.under_way)
            scales.append(Scales(under_way, tf.convert_to_tensor(self.loss_scale.good)))
        return State(tf.convert_to_tensor(self.place.clock), frame, carried, scales)

    def rest(self, state: State) -> None:
        """Write `state` to the variables."""
        self.place.clock.assign(state.t)
        self.place.frame.assign(state.frame)
        for scales in state.scales:
            assert self.loss_scale is not None
            self.place.under_way.assign(scales.under_way)
            self.loss_scale.keep(scales)
        for module, carried in zip(self.modules, state.carried, strict=True):
            assert module.activation is not None
            module.activation.assign(carried.emitted)
            for value in carried.below:
                assert module.pseudo_gradient is not None
                module.pseudo_gradient.assign(value)
            for buffer, value in zip(module.older, carried.older, strict=True):
                buffer.assign(value)
            module.remember(carried.memory)

    def send(self, kind: str, i: int, value: tf.Tensor) -> None:
        """Give other machines, where any reads it, what module i "emitted", or sends "below"."""
        if self.mail:
            self.mail.send(kind, i, value)

    def arrived(self, kind: str, i: int, otherwise: tf.Tensor) -> tf.Tensor:
        """The next of what module i of another machine sends; `otherwise` where none comes here."""
        if self.mail and self.mail.comes(kind, i):
            return self.mail.read(kind, i)
        return otherwise

    def input_of(self, i: int, read: Callable[[Edge], tf.Tensor]) -> tf.Tensor:
        """The input of module i > 1, on its device, if `read` gives what an edge brings."""
        return joined([read(edge) for edge in self.wiring.into(i)], self.wiring.join)

    def widths(self, i: int) -> list[int]:
        """The last axis of each part of the input of module i."""
        return [self.specs[edge.source - 1][1].shape[-1] for edge in self.wiring.into(i)]

    def shares(self, i: int, below: Sequence[tf.Tensor]) -> dict[Edge, tf.Tensor]:
        """What module i sends back along each edge that it reads, of its `below`, on its device."""
        if not below:
            return {}
        with tf.device(self.modules[i - 1].device):
            parts = parts_of(below[0], self.wiring.join, self.widths(i))
        return dict(zip(self.wiring.into(i), parts, strict=True))

    def summed(self, i: int, sent: dict[Edge, tf.Tensor]) -> tf.Tensor:
        """The sum of what the readers of module i < D have sent it, on its device."""
        arriving = [sent[edge] for edge in self.wiring.out_of(i)]
        with tf.device(self.modules[i - 1].device):
            return tf.add_n(arriving) if len(arriving) > 1 else arriving[0]

    def from_readers(self, below: Sequence[list[tf.Tensor]]) -> list[tf.Tensor]:
        """`summed` of each module but the last, if each has sent its `below`."""
        sent: dict[Edge, tf.Tensor] = {}
        for i, each in enumerate(below, 1):
            sent.update(self.shares(i, each))
        return [self.summed(i, sent) for i in range(1, self.depth)]


def _zeros(batch: tf.Tensor | int, spec: tf.TensorSpec) -> tf.Tensor:
    zeros = tf.zeros(tf.concat([[batch], spec.shape[1:]], 0), spec.dtype)
    known = batch if isinstance(batch, int) else tf.get_static_value(batch)
    return tf.ensure_shape(zeros, [known, *spec.shape[1:]])


def _read(buffer: tf.Variable | None, batch: int, spec: tf.TensorSpec) -> tf.Tensor:
    """The value of a buffer, of shape [batch, ...]; its device is the buffer's."""
    assert buffer is not None
    with tf.device(buffer.device):
        return tf.ensure_shape(tf.convert_to_tensor(buffer), [batch, *spec.shape[1:]])

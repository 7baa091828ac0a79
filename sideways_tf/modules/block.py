"""SidewaysBlock: any Keras layer as module H_i on one device, with its state buffers."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.modules.biases import exact_biases
from sideways_tf.modules.draws import stateless_draws
from sideways_tf.modules.folded_norm import folded_norms
from sideways_tf.modules.join import joined_spec
from sideways_tf.modules.step import Step, plain
from sideways_tf.modules.trace import Traced, trace
from sideways_tf.modules.wide import Slice, Wide
from sideways_tf.modules.wiring import Wiring


@tf.keras.utils.register_keras_serializable("sideways_tf")
class SidewaysBlock(tf.keras.layers.Layer):
    """Module H_i of section 3.1: a Keras layer, the device it lives on, and its two buffers.

    Args:
      layer: any Keras layer or model from one tensor to one tensor, examples along axis 0; its
        variables are made on `device` where it is not built yet. It is left as it is.
      device: a TensorFlow device name; "" leaves the choice to TensorFlow.
      slices: (device, output channels) of each slice, where several devices share the module out,
        `device` one of them; see `wide.py`.

    Attributes:
      buffers: what rests between calls: `activation`, h_i as last emitted [B, ...], and
        `pseudo_gradient`, what was last emitted downwards, with the shape of the module's input
        (None in module 1, below which nobody listens); `older`, as in `Carried`, where there are
        skips with a delay; `tf.Variable`s, made by `make_buffers`.
    """

    _known: Traced | None
    wide: Wide | None

    def __init__(
        self,
        layer: tf.keras.layers.Layer,
        device: str = "",
        slices: Sequence[tuple[str, int]] = (),
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **{"name": f"module_{layer.name}", **kwargs})
        self.layer = layer
        self.device = device
        self.slices = [Slice(*each) for each in slices]
        object.__setattr__(self, "wide", None)  # Hidden from Keras, as what it knows.
        self.know(None)
        # A checkpoint keeps it; it is none of the layer's weights.
        self.buffers = tf.train.Checkpoint()

    def call(self, h: tf.Tensor, training: bool = False) -> tf.Tensor:
        """h_{i-1} [B, ...] -> h_i [B, ...]; `training` reaches the layer as Keras passes it on."""
        with tf.device(self.device):
            return self.layer(h)

    def forward(self, h: tf.Tensor, step: Step) -> tf.Tensor:
        """The training forward pass at a computation step that an engine has set up."""
        step.rows = tf.shape(h)[0]
        self._forget_masks()
        kept_apart = folded_norms(self.layer) if step.folded else contextlib.nullcontext()
        with step.active(self.state), stateless_draws(), exact_biases(), kept_apart:
            out = self.wide.forward(h, step) if self.wide else self(h, training=True)
        # Keras loses the batch's size in some layers; a loop has to know it.
        known = self.facts.h_out.shape if self.facts else tf.TensorShape(None)
        return tf.ensure_shape(out, [h.shape[0], *known[1:]]) if known.rank else out

    def _forget_masks(self) -> None:
        """Let recurrent cells draw their masks anew: they keep those of their last call."""
        for part in self.layer._flatten_layers():
            if hasattr(part, "reset_recurrent_dropout_mask"):
                part.reset_dropout_mask()
                part.reset_recurrent_dropout_mask()

    @property
    def state(self) -> list[tf.Variable]:
        """The variables that the layer itself moves as it trains: moving statistics and others."""
        return self._known.moved if self._known else self.layer.non_trainable_variables

    def memory(self) -> list[tf.Tensor]:
        """The present values of `state`."""
        with tf.device(self.device):
            return [tf.convert_to_tensor(plain(variable)) for variable in self.state]

    def remember(self, memory: Sequence[tf.Tensor]) -> None:
        """Write `state` back, once, after the episode."""
        for variable, value in zip(self.state, memory, strict=True):
            plain(variable).assign(value)

    @property
    def activation(self) -> tf.Variable | None:
        """See `buffers`."""
        return getattr(self.buffers, "activation", None)

    @property
    def pseudo_gradient(self) -> tf.Variable | None:
        """See `buffers`."""
        return getattr(self.buffers, "pseudo_gradient", None)

    @property
    def older(self) -> list[tf.Variable]:
        """See `buffers`."""
        return getattr(self.buffers, "older", [])

    def inspect(self, number: int, h_in: tf.TensorSpec) -> Traced:
        """Build the module i = `number` on its device, for an input like `h_in`; see `trace`."""
        object.__setattr__(self, "wide", None)
        found = trace(self, number, h_in)
        if len(self.slices) > 1:
            with tf.device(self.device):
                object.__setattr__(self, "wide", Wide(self.layer, self.slices, h_in))
            found = trace(self, number, h_in)
        self.know(found)
        return self.facts

    @property
    def computes_in_float16(self) -> bool:
        """Whether any part of the layer does, as its policy says."""
        parts = self.layer._flatten_layers()
        return any(getattr(part, "compute_dtype", None) == "float16" for part in parts)

    @property
    def devices(self) -> list[str]:
        """Those that work for the module."""
        return [each.device for each in self.slices] or [self.device]

    def sources(self, step: Step) -> list[Any]:
        """What gradients are taken of in this step's pass: the trainable variables, or slices."""
        trained = list(self.trainable_variables)
        if self.wide is None:
            return trained
        step.slices = self.wide.taken()
        return self.wide.sources(step.slices, trained)

    def whole(self, gradients: Sequence[Any]) -> list[Any]:
        """Gradients of `sources` as those of the trainable variables."""
        trained = list(self.trainable_variables)
        return self.wide.joined(gradients, trained) if self.wide else list(gradients)

    def know(self, facts: Traced | None) -> None:
        """Keep `facts`, hidden from Keras, which would take the variables for the module's own."""
        object.__setattr__(self, "_known", facts)

    @property
    def facts(self) -> Traced:
        """What tracing the module has shown; there once it is built."""
        assert self._known is not None
        return self._known

    def make_buffers(self, first: bool, older: int = 0) -> None:
        """Make the buffers on the module's device, once; the batch size may change later."""
        if self.activation is not None:
            return
        self.buffers.activation = self._buffer(self.facts.h_out, "activation")
        if not first:
            self.buffers.pseudo_gradient = self._buffer(self.facts.h_in, "pseudo_gradient")
        if older:
            self.buffers.older = [self._buffer(self.facts.h_out, "older") for _ in range(older)]

    def _buffer(self, spec: tf.TensorSpec, name: str) -> tf.Variable:
        with tf.device(self.device):
            zeros = tf.zeros([spec.shape[0] or 1, *spec.shape[1:]], spec.dtype)
            # Batches, and frames, of other sizes may come.
            return tf.Variable(zeros, trainable=False, name=name, shape=tf.TensorShape(None))

    def weight_penalty(self) -> tf.Tensor | None:
        """The sum of the regularizers of the layer's weights, []; None if there are none."""
        terms = [term() for part in self.layer._flatten_layers() for term in part._callable_losses]
        return tf.add_n(terms) if terms else None

    def activity_penalty(self) -> tf.Tensor | None:
        """What the last call has added to the loss (activity regularizers, `add_loss`), []."""
        parts = self.layer._flatten_layers()
        terms = [term for part in parts for term in part._eager_losses or part._losses]
        terms = [tf.reduce_mean(term) for term in terms]
        return tf.add_n(terms) if terms else None

    def get_config(self) -> dict:
        layer = tf.keras.saving.serialize_keras_object(self.layer)
        slices = [list(each) for each in self.slices]
        own = {"layer": layer, "device": self.device, "slices": slices}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict) -> SidewaysBlock:
        layer = tf.keras.saving.deserialize_keras_object(config["layer"])
        return cls(layer, **{key: value for key, value in config.items() if key != "layer"})


def build_modules(
    modules: Sequence[SidewaysBlock], frame: tf.TensorSpec, wiring: Wiring | None = None
) -> list[tuple[tf.TensorSpec, tf.TensorSpec]]:
    """Build every module on its device, for a batch of frames like `frame`.

    Args:
      modules: D modules, from the one that takes the frame on.
      frame: shape [B, ...] and dtype of a batch of frames; B may be None.
      wiring: None: each module reads the one below.

    Returns:
      For each module the specs of its input and of its output.

    Raises:
      UserError: if two modules share a layer or a weight, or one does not take what the one below
        gives.
    """
    _check_apart(modules)
    wiring = wiring or Wiring(len(modules))
    specs: list[tuple[tf.TensorSpec, tf.TensorSpec]] = []
    for number, module in enumerate(modules, 1):
        outputs = [h_out for _, h_out in specs]
        h_in = joined_spec(wiring, number, outputs) if specs else frame
        specs.append((h_in, module.inspect(number, h_in).h_out))
    _check_weights_apart(modules)
    _check_whole_numbers(modules)
    return specs


def _check_apart(modules: Sequence[SidewaysBlock]) -> None:
    owners: dict[int, int] = {}
    for number, module in enumerate(modules, 1):
        for layer in module.layer._flatten_layers():
            if owners.setdefault(id(layer), number) != number:
                raise UserError(
                    f"'{layer.name}' is in modules {owners[id(layer)]} and {number}: each "
                    "module needs weights of its own; make a new layer"
                )


def _check_weights_apart(modules: Sequence[SidewaysBlock]) -> None:
    owners: dict[Any, int] = {}
    for number, module in enumerate(modules, 1):
        for variable in module.facts.used:
            if owners.setdefault(variable.ref(), number) != number:
                raise UserError(
                    f"the weight '{variable.name}' is used in modules {owners[variable.ref()]} and "
                    f"{number}, whose updates would not know of each other: tie weights inside one "
                    "module, or give each module its own"
                )


def _check_whole_numbers(modules: Sequence[SidewaysBlock]) -> None:
    for number, module in enumerate(modules[:-1], 1):
        learns = any(below.trainable_variables for below in modules[:number])
        if learns and not module.facts.h_out.dtype.is_floating:
            raise UserError(
                f"module {number} ({module.layer.name}) gives whole numbers "
                f"({module.facts.h_out.dtype.name}), through which no gradient goes, so "
                "that the weights up to it would never learn: freeze them, or give float "
                "activations"
            )

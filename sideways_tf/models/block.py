"""SidewaysBlock: any Keras layer as module H_i on one device, with its state buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.models.per_step import BatchNorm, make_per_step
from sideways_tf.models.step import Step


class SidewaysBlock(tf.keras.layers.Layer):
    """Module H_i of section 3.1: a Keras layer, the device it lives on, and its two buffers.

    Batch norm and dropout inside `layer`, however deep, become those of `per_step.py`.

    Args:
      layer: any Keras layer or model from one tensor to one tensor, examples along axis 0. Give
        it unbuilt, so that its variables are made on `device`.
      device: a TensorFlow device name; "" leaves the choice to TensorFlow.

    Attributes:
      activation: `tf.Variable`, h_i as last emitted [B, ...] (made by `make_state`).
      pseudo_gradient: `tf.Variable`, what was last emitted downwards, with the shape of the
        module's input; None in module 1, below which nobody listens.
    """

    def __init__(self, layer: tf.keras.layers.Layer, device: str = "", **kwargs: Any):
        super().__init__(autocast=False, **{"name": f"module_{layer.name}", **kwargs})
        make_per_step(layer)
        self.layer = layer
        self.device = device
        self.activation: tf.Variable | None = None
        self.pseudo_gradient: tf.Variable | None = None

    def call(self, h: tf.Tensor, training: bool = False) -> tf.Tensor:
        """h_{i-1} [B, ...] -> h_i [B, ...]; `training` reaches the layer as Keras passes it on."""
        with tf.device(self.device):
            return self.layer(h)

    def forward(self, h: tf.Tensor, step: Step) -> tf.Tensor:
        """The training forward pass at a computation step that an engine has set up."""
        with step.active():
            return self(h, training=True)

    @property
    def moving_statistics(self) -> list[tf.Variable]:
        """The variables that travel through `Step.moving`."""
        norms = [layer for layer in self.submodules if isinstance(layer, BatchNorm)]
        return [v for norm in norms for v in (norm.moving_mean, norm.moving_variance)]

    @property
    def own_state(self) -> list[tf.Variable]:
        """What a layer inside assigns by itself while it trains (a user's own batch norm, say)."""
        moving = {variable.ref() for variable in self.moving_statistics}
        # A variable that could be trained but is not belongs to a frozen layer: no state.
        state = [v for v in self.layer.non_trainable_variables if not v.trainable]
        return [v for v in state if v.ref() not in moving]

    def make_state(self, h_in: tf.TensorSpec, h_out: tf.TensorSpec, first: bool) -> None:
        """Make the buffers on the module's device, once; the batch size may change later."""
        if self.activation is None:
            self.activation = self._buffer(h_out, "activation")
            self.pseudo_gradient = None if first else self._buffer(h_in, "pseudo_gradient")

    def _buffer(self, spec: tf.TensorSpec, name: str) -> tf.Variable:
        with tf.device(self.device):
            zeros = tf.zeros(spec.shape, spec.dtype)
            shape = [None, *spec.shape[1:]]
            return tf.Variable(zeros, trainable=False, name=name, shape=shape)

    def get_config(self) -> dict:
        layer = tf.keras.layers.serialize(self.layer)
        return {**super().get_config(), "layer": layer, "device": self.device}


def build_modules(
    modules: Sequence[SidewaysBlock], frame: tf.TensorSpec
) -> list[tuple[tf.TensorSpec, tf.TensorSpec]]:
    """Build every module on its device by running it once on zeros.

    Args:
      modules: D modules, from the one that takes the frame on.
      frame: shape [B, ...] and dtype of a batch of frames.

    Returns:
      For each module the specs of its input and of its output.

    Raises:
      UserError: if a layer belongs to two modules, or does not take what the one below gives.
    """
    _check_apart(modules)
    specs, h_in = [], frame
    for number, module in enumerate(modules, 1):
        with tf.device(module.device):
            try:
                out = module(tf.zeros(h_in.shape, h_in.dtype), training=False)
                make_per_step(module.layer)  # Layers that a layer makes only when it is built.
            except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
                reason = str(error).strip().splitlines()[0]
                raise UserError(
                    f"module {number} ({module.layer.name}) does not take an input of shape "
                    f"{list(h_in.shape)}, {h_in.dtype.name}: {reason}"
                ) from error
        if not tf.is_tensor(out):
            raise UserError(
                f"module {number} ({module.layer.name}) gives {type(out).__name__}: a module maps "
                "one tensor to one tensor; put the branches inside one layer"
            )
        h_out = tf.TensorSpec(out.shape, out.dtype)
        specs.append((h_in, h_out))
        h_in = h_out
    return specs


def _check_apart(modules: Sequence[SidewaysBlock]) -> None:
    owners: dict[int, int] = {}
    for number, module in enumerate(modules, 1):
        for layer in module.submodules:
            if owners.setdefault(id(layer), number) != number:
                raise UserError(
                    f"'{layer.name}' is in modules {owners[id(layer)]} and {number}: each "
                    "module needs weights of its own; make a new layer"
                )

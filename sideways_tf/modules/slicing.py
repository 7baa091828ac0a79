"""Which modules can be shared out over several devices, by output channels, and how.

A module can be where each of its output channels (or units) depends on the whole input and on no
other output channel: one convolution or dense layer, after it only what keeps channels apart
(batch norm, activations, pooling, dropout), before it only what has no weights and draws nothing.
Everything else stays whole, and `why_whole` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.modules.folded_norm import can_fold
from sideways_tf.modules.split import Piece

L = tf.keras.layers


class Rule(NamedTuple):
    """How a layer with weights is cut by output channels.

    Attributes:
      units: how many there are.
      part: (layer, start, stop) -> an unbuilt layer of those channels alone.
      axes: names of its variables, each with the axis that the channels take.
      mixes: whether it reads its whole input; else only the same channels of it.
    """

    units: Callable[[Any], int]
    part: Callable[[Any, int, int], tf.keras.layers.Layer]
    axes: dict[str, int]
    mixes: bool = True


def _again(layer: Any, **changes: int) -> tf.keras.layers.Layer:
    """A layer like `layer`, whose own variables are never read: zeros, and no draw is spent."""
    config = layer.get_config()
    for name in config:
        if name.endswith("_initializer"):
            config[name] = "zeros"
        elif name.endswith(("_regularizer", "_constraint")):
            config[name] = None
    return type(layer).from_config({**config, **changes})


def _rule(name: str, kernel_axis: int = -1) -> Rule:
    return Rule(
        lambda layer: getattr(layer, name),
        lambda layer, start, stop: _again(layer, **{name: stop - start}),
        {"kernel": kernel_axis, "bias": -1},
    )


# Variables that a layer itself moves; the others of a rule are its weights.
STATISTICS = ("moving_mean", "moving_variance")
_NORM = Rule(
    lambda layer: 0,
    lambda layer, start, stop: _again(layer),
    dict.fromkeys(("gamma", "beta", *STATISTICS), -1),
    mixes=False,
)
RULES: dict[type, Rule] = {
    L.Dense: _rule("units"), L.Conv1D: _rule("filters"), L.Conv2D: _rule("filters"),
    L.Conv3D: _rule("filters"), L.Conv2DTranspose: _rule("filters", -2),
    L.Conv3DTranspose: _rule("filters", -2), L.BatchNormalization: _NORM,
}  # fmt: skip
# Without weights; each output channel depends on the same input channel alone.
APART = (
    L.ReLU, L.LeakyReLU, L.ELU, L.ThresholdedReLU, L.Activation, L.MaxPooling1D, L.MaxPooling2D,
    L.MaxPooling3D, L.AveragePooling1D, L.AveragePooling2D, L.AveragePooling3D,
    L.GlobalMaxPooling1D, L.GlobalMaxPooling2D, L.GlobalMaxPooling3D, L.GlobalAveragePooling1D,
    L.GlobalAveragePooling2D, L.GlobalAveragePooling3D, L.ZeroPadding1D, L.ZeroPadding2D,
    L.ZeroPadding3D, L.Cropping1D, L.Cropping2D, L.Cropping3D, L.UpSampling2D,
)  # fmt: skip
# The same, but they draw: the whole mask is drawn, each slice takes its channels of it.
RANDOM = (
    L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D, L.SpatialDropout3D, L.GaussianNoise,
    L.GaussianDropout,
)  # fmt: skip
# Without weights; only before the convolution or dense layer, on the whole input.
SHAPES = (L.Flatten, L.Reshape, L.Permute)
# Softmax, which mixes channels, is not among them.
ACTIVATIONS = {
    tf.keras.activations.get(name)
    for name in ("linear", "relu", "elu", "selu", "gelu", "swish", "sigmoid", "hard_sigmoid",
                 "tanh", "softplus", "softsign", "exponential")
}  # fmt: skip


def chain_of(layer: tf.keras.layers.Layer) -> list[tf.keras.layers.Layer] | None:
    """The layers of which `layer` is made, if each takes what the one before gives; else None."""
    if type(layer) is tf.keras.Sequential:
        inner = [chain_of(each) for each in layer.layers]
        return None if None in inner else [each for chain in inner for each in chain or []]
    if isinstance(layer, Piece):
        return _chain_of_calls(layer)
    return [layer]


def _chain_of_calls(piece: Piece) -> list[tf.keras.layers.Layer] | None:
    value, chain = piece._ends[0], []
    for call in piece._calls:
        if list(call.inputs.values()) != [value] or len(call.outputs) != 1:
            return None
        if call.node is not None and (len(call.node.call_args) != 1 or call.node.call_kwargs):
            return None
        inner = chain_of(call.layer)
        if inner is None:
            return None
        chain += inner
        value = call.outputs[0]
    return chain if value == piece._ends[1] else None


def units_of(layer: tf.keras.layers.Layer) -> int:
    """Output channels that can be shared out; 0 where the layer stays whole."""
    return 0 if why_whole(layer) else mixer_of(chain_of(layer) or [])[1]


def mixer_of(chain: Sequence[tf.keras.layers.Layer]) -> tuple[int, int]:
    """Place in the chain of the one layer that mixes its inputs, and its output channels."""
    found = [(n, rule) for n, each in enumerate(chain) if (rule := RULES.get(type(each)))]
    place, rule = next(pair for pair in found if pair[1].mixes)
    return place, rule.units(chain[place])


def why_whole(layer: tf.keras.layers.Layer) -> str:
    """Why `layer` cannot be shared out by output channels; "" if it can."""
    chain = chain_of(layer)
    if chain is None:
        return "its layers are no row"
    mixers = [each for each in chain if type(each) in RULES and RULES[type(each)].mixes]
    if len(mixers) != 1:
        names = ", ".join(f"'{each.name}'" for each in mixers)
        return f"{names} each read all channels" if mixers else "no layer has output channels"
    at = chain.index(mixers[0])
    for place, each in enumerate(chain):
        if reason := _refused(each, before=place < at):
            return f"'{each.name}' ({type(each).__name__}) {reason}"
    return ""


def check_slices(layer: tf.keras.layers.Layer, counts: Sequence[int]) -> None:
    """Raise UserError where `layer` cannot be cut into slices of `counts` channels."""
    if reason := why_whole(layer):
        raise UserError(f"'{layer.name}' cannot be shared out over devices: {reason}")
    if min(counts) < 1 or sum(counts) != units_of(layer):
        raise UserError(
            f"slices={list(counts)}: '{layer.name}' has {units_of(layer)} output channels; give "
            "each slice at least one, and together all of them"
        )


def _refused(layer: tf.keras.layers.Layer, before: bool) -> str:
    """Why this layer, `before` the one that mixes or not, keeps its module whole; "" if not."""
    kind = type(layer)
    if getattr(layer, "activity_regularizer", None) is not None:
        return "has an activity_regularizer"
    if getattr(layer, "data_format", None) == "channels_first":
        return "has its channels first"
    activation = getattr(layer, "activation", None)
    if activation is not None and activation not in ACTIVATIONS:
        return "has an activation that may mix channels"
    if getattr(layer, "groups", 1) != 1:
        return "has groups of channels"
    if kind is L.BatchNormalization and not can_fold(layer):
        return "is no plain batch norm over the last axis"
    if before:
        return "" if kind in (*APART, *SHAPES) else "comes before, and has weights or draws"
    if getattr(layer, "noise_shape", None) is not None:
        return "has a noise_shape"
    return "" if kind in (*RULES, *APART, *RANDOM) else "may mix channels"

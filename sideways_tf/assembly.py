"""How a `SidewaysModel` is wired, cut, placed and built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from sideways_tf.engines import Engine, LossScale, make_engine, schedule
from sideways_tf.errors import UserError
from sideways_tf.modules import SidewaysBlock, build_modules, split
from sideways_tf.modules.join import joined_network
from sideways_tf.modules.split import check_cut, copy_layer, find_units
from sideways_tf.modules.step import MASKS
from sideways_tf.modules.wiring import make_wiring
from sideways_tf.monitor import Monitor
from sideways_tf.optimizers import ModuleOptimizers
from sideways_tf.plan import devices as device_lib
from sideways_tf.saving import write_network
from sideways_tf.start import check_keras2


class Assembly(tf.keras.Model):
    """The part of `SidewaysModel` that turns the given network into modules and an engine."""

    built: bool
    modules: list[SidewaysBlock]
    engine: Engine | None
    monitor: Monitor
    optimizers: ModuleOptimizers
    loss_scale: Any  # A property, LossScale | None.
    update_every: int
    _source: Callable[[], tf.keras.Model | list[tf.keras.layers.Layer]]
    _depth: int | None
    _originals: Callable[[], list[tf.keras.layers.Layer]]
    _whole: Engine | None
    _engine_for: tuple[Any, ...] | None
    _engine_arguments: dict[str, Any]
    _device_arguments: dict[str, Any]
    _frame_loss: Callable[..., tf.Tensor]

    def _wire(self, skips: Sequence[Sequence[int]], join: str, align: bool | None) -> None:
        self._skip_arguments = {"skips": [list(x) for x in skips], "join": join, "align": align}
        if skips and self._depth:
            raise UserError(
                f"skips={list(skips)}: they number the layers of a list, modules={self._depth} "
                "would cut the network anew: leave modules out"
            )
        if self._depth and align is not None:
            crossed = split(self._given, self._depth, align=align)
            self._crossed = lambda: crossed  # Hidden from Keras, as `_source` is.
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


def _on_device(layer: tf.keras.layers.Layer, device: str) -> tf.keras.layers.Layer:
    """The layer itself where its weights lie on `device` or are yet to be made; else a copy."""
    if not layer.built or all(device_lib.same_device(w.device, device) for w in layer.weights):
        return layer
    with tf.device(device):
        return copy_layer(layer)


def checked(
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

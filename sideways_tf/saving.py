"""How a `SidewaysModel` is written to a .keras file and read back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from sideways_tf.modules import SidewaysBlock
from sideways_tf.optimizers import ModuleOptimizers
from sideways_tf.whole_file import whole


class Saving(tf.keras.Model):
    """The part of `SidewaysModel` that Keras calls to save and to load."""

    modules: list[SidewaysBlock]
    optimizers: ModuleOptimizers
    _compiled: dict[str, Any]
    _engine_arguments: dict[str, Any]
    _device_arguments: dict[str, Any]
    _skip_arguments: dict[str, Any]

    def get_config(self) -> dict:
        arguments = dict(self._engine_arguments)
        return {
            "name": self.name,
            "network": _unbuilt(tf.keras.saving.serialize_keras_object(self._given)),
            "modules": self._depth,
            **self._skip_arguments,
            "update_every": self.update_every,
            "dropout_mask": arguments.pop("masks"),
            "seed": int(self.seed),
            **arguments,
            **self._device_arguments,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> Saving:
        config = dict(config)
        network = tf.keras.saving.deserialize_keras_object(config.pop("network"), custom_objects)
        return cls(network, config.pop("modules"), **config)

    def get_build_config(self) -> dict:
        return {"input_shape": self._build_input_shape.as_list()} if self.built else {}

    def get_compile_config(self) -> dict:
        serialize = tf.keras.saving.serialize_keras_object
        return {
            "optimizer": serialize(self.optimizers.given),
            **{name: serialize(value) for name, value in self._compiled.items()},
        }

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """As in Keras; a .keras file is whole or not there."""
        with _whole_archive(filepath) as path:
            super().save(path, *args, **kwargs)

    def save_own_variables(self, store: Any) -> None:
        """And what Keras leaves out: older optimizers', how far weights look ahead, the scale."""
        super().save_own_variables(store)
        for name, variable in self._unsaved_by_keras().items():
            store[name] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables({name: store[name] for name in store if name.isdecimal()})
        for name, variable in self._unsaved_by_keras().items():
            if name in store:
                variable.assign(store[name])

    def _unsaved_by_keras(self) -> dict[str, tf.Variable]:
        kept = {
            f"optimizer_{i}_{j}": variable
            for i, optimizer in enumerate(getattr(self, "module_optimizers", []))
            if not hasattr(optimizer, "save_own_variables")
            for j, variable in enumerate(optimizer.variables())
        }
        scale = self.optimizers.loss_scale if hasattr(self, "optimizers") else None
        kept.update({v.name.partition(":")[0]: v for v in scale.variables} if scale else {})
        for i, ahead in enumerate(self.optimizers.ahead if hasattr(self, "optimizers") else []):
            kept.update((f"ahead_{i}_{j}", variable) for j, variable in enumerate(ahead))
        return kept

    def compile_from_config(self, config: dict) -> None:
        self.compile(**tf.keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizers.make(self.modules)


def _unbuilt(network: Any) -> Any:
    """A list of layers without the shapes that they were built for: the model builds them anew.

    Else Keras would build them first, and forget for which shape: they could not be copied then to
    another device.
    """
    if not isinstance(network, list):
        return network
    return [{k: v for k, v in layer.items() if k != "build_config"} for layer in network]


def write_network(network: tf.keras.Model, filepath: Any, options: dict[str, Any]) -> None:
    """Save a Keras model; a .keras file is whole or not there."""
    with _whole_archive(filepath) as path:
        network.save(path, **options)


@contextlib.contextmanager
def _whole_archive(filepath: Any) -> Iterator[Any]:
    if not str(filepath).endswith(".keras"):
        yield filepath  # A folder of TensorFlow's, or HDF5.
        return
    with whole(Path(filepath)) as part:
        yield str(part)

"""Another cut of a network into modules (--modules=N). It changes D, hence the algorithm."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sideways_tf.engines import balance
from sideways_tf.errors import UserError
from sideways_tf.models.costs import costs


def flatten(layers: Sequence[tf.keras.layers.Layer]) -> list[tf.keras.layers.Layer]:
    """The layers, with those inside `tf.keras.Sequential` each by itself."""
    flat = []
    for layer in layers:
        flat += flatten(layer.layers) if type(layer) is tf.keras.Sequential else [layer]
    return flat


def regroup(
    layers: Sequence[tf.keras.layers.Layer], count: int, frame: tf.TensorSpec
) -> list[tf.keras.layers.Layer]:
    """The same unbuilt layers as `count` modules, cut where the largest has the fewest operations.

    The cut follows counted operations, not measured times: it changes what is computed, and a run
    must be the same on every machine and after every restart.

    Args:
      layers: one Keras layer a module; `tf.keras.Sequential` may be cut inside.
      count: N, the modules wanted.
      frame: shape [B, ...] and dtype of a batch of frames.

    Raises:
      UserError: if there are fewer layers than modules.
    """
    flat = flatten(layers)
    if count > len(flat):
        raise UserError(
            f"--modules={count}: the network has {len(flat)} layers, ask for no more modules"
        )
    operations = [cost.forward + cost.backward for cost in costs(flat, frame)]
    modules, start = [], 0
    for number, size in enumerate(balance.cut(operations, count), 1):
        inside = flat[start : start + size]
        modules.append(tf.keras.Sequential(inside, name=f"group{number}_{inside[0].name}"))
        start += size
    return modules

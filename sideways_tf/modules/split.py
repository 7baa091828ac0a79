"""Any Keras model cut into D modules, where exactly one tensor crosses.

The modules run the model's own layers: weights set before stay, and what they learn is in the
model. Nothing is added to it: a `Piece` calls the layers as the model's graph says, and makes no
new graph.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.plan import balance
from sideways_tf.start import check_keras2

SHOWN_CUTS = 40


class Call(NamedTuple):
    """One call of a layer in a model.

    Attributes:
      node: Keras' own record of the call; None where the layer takes the one value before it.
      inputs: the tensors of `node` (by Keras' name for them) -> numbers of values.
      outputs: numbers of values.
    """

    layer: tf.keras.layers.Layer
    node: Any
    inputs: dict[str, int]
    outputs: list[int]

    def make(self, values: dict[int, tf.Tensor]) -> None:
        """Make the call on its inputs in `values`, where its outputs go."""
        if self.node is None:
            args, kwargs = (values[self.inputs[""]],), {}
        else:
            given = {key: [values[n]] * len(self.inputs) for key, n in self.inputs.items()}
            args, kwargs = self.node.map_arguments(given)
        outputs = tf.nest.flatten(self.layer(*args, **kwargs))
        values.update(zip(self.outputs, outputs, strict=True))


class Parts(list):
    """Layers, one a module, and what `SidewaysModel` takes with them: `skips`, of join="concat"."""

    join = "concat"

    def __init__(self, layers: Iterable[tf.keras.layers.Layer], skips: Sequence[Any] = ()):
        super().__init__(layers)
        self.skips = list(skips)


class Piece(tf.keras.layers.Layer):
    """A part of a model, from one tensor to one tensor.

    Args:
      calls: in an order in which they can be made.
      source, target: numbers of the values that come in and go out.
    """

    def __init__(self, calls: Sequence[Call], source: int, target: int, **kwargs: Any):
        first, last = calls[0].layer.name, calls[-1].layer.name
        name = first if len(calls) == 1 else f"{first}_to_{last}"
        super().__init__(autocast=False, **{"name": name, **kwargs})
        self.parts = list({id(call.layer): call.layer for call in calls}.values())
        self._calls = tuple(calls)  # Keras would take the nodes in a list for layers of its own.
        self._ends = source, target

    def call(self, h: tf.Tensor, training: Any = None) -> tf.Tensor:
        """[B, ...] -> [B, ...]."""
        values = {self._ends[0]: h}
        self.run(values)
        return values[self._ends[1]]

    def run(self, values: dict[int, tf.Tensor]) -> None:
        """Make all calls."""
        for call in self._calls:
            call.make(values)

    def copy(self) -> Piece:
        """The same with copies of the layers, weights included."""
        copies = {id(part): copy_layer(part) for part in self.parts}
        return self.again([call._replace(layer=copies[id(call.layer)]) for call in self._calls])

    def again(self, calls: Sequence[Call]) -> Piece:
        """The same with other calls."""
        return Piece(calls, *self._ends, name=self.name)


def copy_layer(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
    """A layer like `layer`, with weights of its own and equal, where it has any yet.

    Raises:
      UserError: if its class cannot be made again from its configuration.
    """
    if isinstance(layer, Piece):
        return layer.copy()
    if type(layer) is tf.keras.Sequential and not layer.built:
        return tf.keras.Sequential([copy_layer(inner) for inner in layer.layers], name=layer.name)
    try:
        twin = type(layer).from_config(layer.get_config())
        if layer.built and not twin.built:
            twin.build_from_config(layer.get_build_config() or {})
        if layer.weights:
            twin.set_weights(layer.get_weights())
    except (NotImplementedError, TypeError, ValueError, KeyError) as error:
        raise UserError(
            f"'{layer.name}' cannot be copied to be measured or to run on another device "
            f"({type(error).__name__}): give it a get_config, or run on one device, or place "
            "the modules by a list of devices"
        ) from error
    return twin


def split(
    network: tf.keras.Model | Sequence[tf.keras.layers.Layer],
    modules: int,
    *,
    frame: tf.TensorSpec | None = None,
    by: str = "operations",
    device: str = "",
    align: bool | None = None,
) -> Parts:
    """Cut a network into `modules` parts in a row, the largest as small as it can be.

    Sideways computes another thing for another cut: D is part of the algorithm.

    Args:
      network: a Keras model (functional or sequential, models inside models are cut inside, too)
        from one tensor to one, or a list of layers, each of which takes what the one before gives.
      modules: D.
      frame: shape [B, ...] and dtype of a batch of frames; not needed where the model knows it.
      by: "operations", counted, and so the same on every machine and after every restart; or
        "seconds", measured on `device`.
      align: None: cut only where one tensor crosses. Else a functional model is cut anywhere, in
        its order of layers, by operations, and what crosses goes by skips: True, delayed to meet
        its own frame, so that the parts compute what `network` does; False, in one step, so that a
        newer frame comes the short way (see docs/skip_sideways.md).

    Returns:
      D layers from one tensor to one, that share the layers of `network` with it; and their
      `skips`, see `Parts`.

    Raises:
      UserError: if there are too few places to cut, which are listed; or the model is none that
        can be cut.
    """
    if align is not None:
        from sideways_tf.modules.crossing import cut_across

        return cut_across(network, modules, frame, align)
    units = find_units(network)
    check_cut(units, modules)
    sizes = balance.cut(unit_costs(units, frame or known_frame(network), by, device), modules)
    ends = list(itertools.accumulate(sizes))
    return Parts(_joined(units[end - size : end]) for size, end in zip(sizes, ends, strict=True))


def check_cut(units: Sequence[tf.keras.layers.Layer], modules: int) -> None:
    """Raise UserError, which lists the cuts there are, where `units` do not give so many parts."""
    if modules < 1 or modules > len(units):
        names = [unit.name for unit in units[:-1]]
        more = f" and {len(names) - SHOWN_CUTS} more" if len(names) > SHOWN_CUTS else ""
        raise UserError(
            f"modules={modules}: the network can be cut into 1 to {len(units)}; one tensor crosses "
            f"after {', '.join(names[:SHOWN_CUTS]) or 'no layer'}{more}"
        )


def unit_costs(
    units: Sequence[tf.keras.layers.Layer], frame: tf.TensorSpec, by: str, device: str = ""
) -> list[float]:
    """What each of `units` costs at a computation step, by operations or by seconds."""
    from sideways_tf.plan import costs, times

    if by == "seconds":
        return [found.both for found in times.measure(units, frame, device)]
    if by != "operations":
        raise UserError(f"by={by}: give operations or seconds")
    # Backward is twice forward, but once where the input is a frame, which needs no gradient.
    forward = costs.count_row(units, frame)
    return [float(n * (2 if i == 0 else 3)) for i, n in enumerate(forward)]


def known_frame(network: Any) -> tf.TensorSpec:
    """What the model says of its input, for a batch of one.

    Raises:
      UserError: if it does not know.
    """
    inputs = getattr(network, "inputs", None)
    if not inputs or any(side is None for side in inputs[0].shape[1:]):
        raise UserError(
            "the network does not know the shape of its input: give frame=tf.TensorSpec([B, H, W, "
            "C]), or a model with an Input"
        )
    return tf.TensorSpec([1, *inputs[0].shape[1:]], inputs[0].dtype)


def find_units(
    network: tf.keras.Model | Sequence[tf.keras.layers.Layer],
) -> list[tf.keras.layers.Layer]:
    """The smallest parts in a row into which `network` can be cut.

    Raises:
      UserError: if a part is no layer of Keras 2; or a model has several inputs or outputs.
    """
    if isinstance(network, list | tuple):
        return [unit for layer in network for unit in find_units(layer)]
    check_keras2(network)
    if isinstance(network, tf.keras.Sequential):
        return find_units(network.layers)
    if isinstance(network, Piece):
        return list(_pieces(network._calls, *network._ends))
    if _is_functional(network):
        return list(_pieces(*_program(network)))
    if isinstance(network, tf.keras.layers.InputLayer):
        return []
    return [network]


def _is_functional(layer: Any) -> bool:
    return isinstance(layer, tf.keras.Model) and getattr(layer, "_is_graph_network", False)


def _program(model: tf.keras.Model) -> tuple[list[Call], int, int]:
    """The calls of a functional model and of those inside it, and its two ends."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UserError(
            f"'{model.name}' has {len(model.inputs)} inputs and {len(model.outputs)} outputs: a "
            "network goes from one tensor, the frame, to one tensor"
        )
    calls: list[Call] = []
    numbers = itertools.count(1)
    (target,) = _follow(model, [0], calls, numbers)
    return calls, 0, target


def _follow(
    model: tf.keras.Model, inputs: list[int], calls: list[Call], numbers: Iterator[int]
) -> list[int]:
    """Append the calls of `model` on the values `inputs`; the numbers of its outputs."""
    known = {str(id(t)): n for t, n in zip(model.inputs, inputs, strict=True)}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input:
                continue
            taken = {key: known[key] for key in node.flat_input_ids}
            layer = node.layer
            if _is_functional(layer) and len(taken) == len(layer.inputs) == 1:
                outputs = _follow(layer, list(taken.values()), calls, numbers)
            else:
                outputs = [next(numbers) for _ in node.flat_output_ids]
                calls.append(Call(layer, node, taken, outputs))
            known.update(zip(node.flat_output_ids, outputs, strict=True))
    return [known[str(id(t))] for t in model.outputs]


def _pieces(calls: Sequence[Call], source: int, target: int) -> Iterator[Piece]:
    """Cut wherever one value alone is still needed."""
    last_use = {n: i for i, call in enumerate(calls) for n in call.inputs.values()}
    last_use[target] = len(calls)
    live, start, begin = {source}, source, 0
    for i, call in enumerate(calls):
        live = {n for n in live.union(call.outputs) if last_use.get(n, -1) > i}
        if len(live) == 1 and (value := next(iter(live))) != start:
            yield Piece(calls[begin : i + 1], start, value)
            start, begin = value, i + 1


def _joined(units: Sequence[tf.keras.layers.Layer]) -> tf.keras.layers.Layer:
    """Units in a row as one layer."""
    if len(units) == 1:
        return units[0]
    calls: list[Call] = []
    value, fresh = 0, itertools.count(1)
    for unit in units:
        if not isinstance(unit, Piece):
            calls.append(Call(unit, None, {"": value}, [next(fresh)]))
            value = calls[-1].outputs[0]
            continue
        names = {unit._ends[0]: value}
        for call in unit._calls:
            outputs = [names.setdefault(n, next(fresh)) for n in call.outputs]
            inputs = {key: names[n] for key, n in call.inputs.items()}
            calls.append(call._replace(inputs=inputs, outputs=outputs))
        value = names[unit._ends[1]]
    return Piece(calls, 0, value)

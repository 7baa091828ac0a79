"""Modules shared out over devices: the numbers of whole ones, on the slices' own devices.

float64: 1e-12 leaves room for a sum over slices in another order, and none for a wrong channel.
"""

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.engines import (
    FrameByFrameBackprop,
    GPipeBackprop,
    PipelinedSideways,
    make_engine,
)
from sideways_tf.errors import UserError
from sideways_tf.modules import SidewaysBlock, split
from sideways_tf.modules.slicing import chain_of, units_of, why_whole
from sideways_tf.modules.wiring import make_wiring
from tests.engines import networks
from tests.engines.networks import L, assert_episodes_equal, random_clip, squared_error

F64 = {"dtype": "float64"}
FRAME = [3, 6, 6, 2]
CUTS = {
    0: [("CPU:0", 1), ("CPU:1", 2)],
    1: [("CPU:1", 1), ("CPU:2", 3)],
    2: [("CPU:0", 1), ("CPU:1", 1), ("CPU:2", 1)],
    3: [("CPU:0", 1), ("CPU:3", 2)],
}


def widened(modules, cuts):
    """Modules of the same layers, those in `cuts` shared out."""
    return [
        SidewaysBlock(m.layer, cuts[i][0][0] if i in cuts else "CPU:0", cuts.get(i, ()))
        for i, m in enumerate(modules)
    ]


def vgg_like():
    """Batch norm, pooling, both forms of dropout, a dense layer of flattened inputs."""
    conv = [
        L.Conv2D(4, 3, padding="same", use_bias=False, **F64), L.BatchNormalization(**F64),
        L.LeakyReLU(**F64), L.SpatialDropout2D(0.5, **F64), L.MaxPooling2D(**F64),
    ]  # fmt: skip
    dense = [L.Flatten(**F64), L.Dense(5, "tanh", **F64), L.Dropout(0.4, **F64)]
    return [tf.keras.Sequential(conv), tf.keras.Sequential(dense), L.Dense(3, **F64)]


def assert_same_state(left, right):
    for a, b in zip(left, right, strict=True):
        for u, v in zip(a.layer.get_weights(), b.layer.get_weights(), strict=True):
            np.testing.assert_allclose(u, v, rtol=1e-12)


@pytest.mark.parametrize("engine", [PipelinedSideways, FrameByFrameBackprop, GPipeBackprop])
def test_numbers_are_those_of_whole_modules(engine):
    frame = FRAME if engine is PipelinedSideways else [1, *FRAME[1:]]
    _, (left, right) = networks.copies(lambda: networks.conv_layers(norm=True), frame, 2)
    clip, targets = random_clip([8, *frame], 3)
    wide = widened(right, CUTS)
    expected = engine(left, squared_error)(clip, targets)
    assert_episodes_equal(engine(wide, squared_error)(clip, targets), expected, 1e-12, 1e-13)
    assert_same_state(left, wide)


def test_modules_that_read_two_others_are_shared_out_alike():
    """A concatenation of two neighbours of the row, one of them three steps old."""

    def dense():
        return [L.Dense(n, "tanh", **F64) for n in (3, 4, 5, 3)]

    wiring = make_wiring(4, [(1, 3), (2, 4, 3)], "concat")
    frame = [2, 3]
    first, second = dense(), dense()
    engines = [
        PipelinedSideways([SidewaysBlock(each, "CPU:0") for each in first], squared_error,
                          wiring=wiring),
        PipelinedSideways(
            widened([SidewaysBlock(each, "CPU:0") for each in second],
                    {1: [("CPU:0", 1), ("CPU:1", 3)], 3: [("CPU:1", 2), ("CPU:0", 1)]}),
            squared_error, wiring=wiring),
    ]  # fmt: skip
    clip, targets = random_clip([12, *frame], 3)
    for engine in engines:
        engine.build(tf.TensorSpec(frame, tf.float64))
    for a, b in zip(first, second, strict=True):
        b.set_weights(a.get_weights())
    expected, found = (engine(clip, targets) for engine in engines)
    assert_episodes_equal(found, expected, 1e-12, 1e-13)


def test_masks_of_dropout_are_those_of_the_whole_module():
    cuts = {0: [("CPU:1", 3), ("CPU:0", 1)], 1: [("CPU:0", 2), ("CPU:1", 2), ("CPU:2", 1)]}
    _, (left, right) = networks.copies(vgg_like, FRAME, 2)
    clip, targets = random_clip([6, *FRAME], 3)
    whole, wide = (
        PipelinedSideways(each, squared_error, "step") for each in (left, widened(right, cuts))
    )
    expected, other = (whole(clip, targets, tf.constant([3, n])) for n in (4, 5))
    found = wide(clip, targets, tf.constant([3, 4]))
    assert_episodes_equal(found, expected, 1e-12, 1e-13)
    assert not np.allclose(other.outputs, expected.outputs)  # There were masks.


def test_updates_while_the_pipe_goes_on():
    """L = 2: slices are taken anew of weights that move inside the loop."""
    _, lists = networks.copies(lambda: networks.conv_layers(norm=True), FRAME, 2)
    clip, targets = random_clip([10, *FRAME], 3)
    lists[1] = widened(lists[1], CUTS)
    losses = []
    for modules in lists:
        engine = make_engine("sideways", modules, squared_error, stream=True)
        engine.build(tf.TensorSpec(FRAME, tf.float64))

        def update(i, found, modules=modules):
            for variable, gradient in zip(modules[i].trainable_variables, found, strict=True):
                variable.assign_sub(0.1 * gradient)

        @tf.function(autograph=False)
        def run(clip, targets, engine=engine, update=update):
            return engine.learn(clip, targets, tf.constant([0, 0]), 2, update)[0]

        losses.append(run(clip, targets))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-12)
    assert_same_state(*lists)


def test_frozen_layers_stay_frozen():
    _, (left, right) = networks.copies(lambda: networks.conv_layers(norm=True), FRAME, 2)
    for modules in (left, right):
        modules[1].layer.layers[1].trainable = False  # Its statistics are used, and do not move.
        modules[2].layer.layers[0].trainable = False
    clip, targets = random_clip([8, *FRAME], 3)
    wide = widened(right, CUTS)
    expected = PipelinedSideways(left, squared_error)(clip, targets)
    found = PipelinedSideways(wide, squared_error)(clip, targets)
    assert [len(each) for each in found.pseudo_gradients] == [3, 1, 2, 2]
    assert_episodes_equal(found, expected, 1e-12, 1e-13)
    assert_same_state(left, wide)


def test_every_slice_goes_forward_and_backward_on_its_own_device():
    _, (modules,) = networks.copies(lambda: networks.conv_layers(norm=True), FRAME, 1)
    engine = PipelinedSideways(widened(modules, {1: CUTS[1]}), squared_error)
    clip, targets = random_clip([8, *FRAME], 3)
    engine(clip, targets)
    (graph,) = [f.graph for f in engine._graph._list_all_concrete_functions()]
    nodes = [
        node
        for function in graph.as_graph_def().library.function
        for node in function.node_def
        if node.op in ("Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput")
    ]
    found = {}
    for node in nodes:
        found.setdefault(node.device.rpartition("device:")[2], []).append(node.op)
    # Modules 1 and 3 whole on CPU:0; module 2 in slices. Module 1's input has no gradient.
    kernels = ["Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput"]
    assert sorted(found["CPU:1"]) == sorted(found["CPU:2"]) == kernels
    assert set(found) == {"CPU:0", "CPU:1", "CPU:2"}


def test_slices_of_weights_are_sent_once_an_episode():
    """No kernel is cut inside the loop, where weights stand still."""
    _, (modules,) = networks.copies(networks.conv_layers, FRAME, 1)
    engine = PipelinedSideways(widened(modules, {1: CUTS[1]}), squared_error)
    engine(*random_clip([8, *FRAME], 3))
    (graph,) = [f.graph for f in engine._graph._list_all_concrete_functions()]
    inside = [n.op for f in graph.as_graph_def().library.function for n in f.node_def]
    assert "SplitV" in [op.type for op in graph.get_operations()]
    assert "SplitV" not in inside


def test_a_piece_of_a_keras_model_can_be_shared_out():
    x = tf.keras.Input([6, 6, 2])
    net = tf.keras.Model(x, L.Activation("relu")(L.BatchNormalization()(L.Conv2D(4, 3)(x))))
    (piece,) = split(net, 1)
    assert units_of(piece) == 4
    assert chain_of(piece) == net.layers[1:]


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([L.Conv2D(4, 3), L.Conv2D(4, 3)], "each read all channels"),
        ([L.MaxPooling2D()], "no layer has output channels"),
        ([L.Dense(4, "softmax")], "has an activation that may mix channels"),
        ([L.Conv2D(4, 3), L.Softmax()], "may mix channels"),
        ([L.Conv2D(4, 3), L.Flatten()], "may mix channels"),
        ([L.Conv2D(4, 3), L.LayerNormalization()], "may mix channels"),
        ([L.Conv2D(4, 3), L.BatchNormalization(axis=1)], "is no plain batch norm"),
        ([L.Conv2D(4, 3, groups=2)], "has groups of channels"),
        ([L.Conv2D(4, 3, data_format="channels_first")], "has its channels first"),
        ([L.Dropout(0.1), L.Dense(4)], "comes before, and has weights or draws"),
        ([L.BatchNormalization(), L.Dense(4)], "comes before, and has weights or draws"),
        ([L.Dense(4), L.Dropout(0.1, noise_shape=[1, 4])], "has a noise_shape"),
        ([L.Dense(4, activity_regularizer="l2")], "has an activity_regularizer"),
    ],
)
def test_what_stays_whole_says_why(layers, reason):
    layer = tf.keras.Sequential(layers, name="mine")
    assert reason in why_whole(layer)
    assert units_of(layer) == 0
    module = SidewaysBlock(layer, "CPU:0", [("CPU:0", 2), ("CPU:1", 2)])
    if reason not in ("has its channels first", "is no plain batch norm"):  # Not on a CPU.
        with pytest.raises(UserError, match="'mine' cannot be shared out over devices: "):
            module.inspect(1, tf.TensorSpec([2, 8, 8, 4], tf.float32))


def test_a_model_that_branches_stays_whole():
    x = tf.keras.Input([3])
    layer = tf.keras.Model(x, L.Add()([L.Dense(3)(x), x]))
    (piece,) = split(layer, 1)
    assert why_whole(piece) == "its layers are no row"


@pytest.mark.parametrize("counts", [(1, 2), (0, 4), (3, 2)])
def test_slices_have_to_make_the_whole(counts):
    devices = ["CPU:0", "CPU:1"]
    module = SidewaysBlock(L.Dense(4, name="d"), "CPU:0", list(zip(devices, counts, strict=True)))
    with pytest.raises(UserError, match="'d' has 4 output channels"):
        module.inspect(1, tf.TensorSpec([2, 3], tf.float32))


def test_batched_engines_refuse_several_devices():
    module = SidewaysBlock(L.Dense(4), "CPU:0", [("CPU:0", 2), ("CPU:1", 2)])
    with pytest.raises(UserError, match="engine=time_shifted runs on one device"):
        make_engine("sideways", [module], squared_error, "time_shifted")
    assert isinstance(make_engine("sideways", [module], squared_error), PipelinedSideways)


def test_gpipe_over_workers_is_refused():
    module = SidewaysBlock(L.Dense(4), "/job:worker/replica:0/task:0/device:CPU:0")
    with pytest.raises(UserError, match="engine=gpipe over workers"):
        make_engine("bp", [module], squared_error, "gpipe")


def test_making_slices_draws_nothing():
    """Weights made afterwards are those of a network that is not shared out."""
    made = []
    for slices in ((), [("CPU:0", 2), ("CPU:1", 2)]):
        tf.keras.utils.set_random_seed(1)
        SidewaysBlock(L.Dense(4), "CPU:0", slices).inspect(1, tf.TensorSpec([2, 3], tf.float32))
        after = L.Dense(2)
        after.build([None, 3])
        made.append(after.get_weights()[0])
    np.testing.assert_array_equal(*made)


def test_a_block_is_made_again_from_its_configuration():
    block = SidewaysBlock(L.Dense(4), "CPU:0", [("CPU:0", 1), ("CPU:1", 3)])
    assert SidewaysBlock.from_config(block.get_config()).slices == block.slices

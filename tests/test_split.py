"""Any Keras model in pieces: the same numbers, the same layers, the same cut every time."""

import contextlib
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import sideways_tf as sw
from sideways_tf.engines import PipelinedSideways, TimeShiftedSideways
from sideways_tf.modules.split import find_units

layers = tf.keras.layers


@pytest.fixture
def float64():
    """Keras makes float64 layers within."""
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx("float32")


def residual(classes: int = 3) -> tf.keras.Model:
    """Two branches that meet, twice; cuts are between them alone."""
    x = h = tf.keras.Input([8, 8, 3])
    for width in (4, 6):
        h = layers.Conv2D(width, 1, name=f"in_{width}")(h)
        left = layers.Conv2D(width, 3, padding="same", name=f"left_{width}")(h)
        h = layers.Add(name=f"add_{width}")([left, h])
    h = layers.GlobalAveragePooling2D(name="pool")(h)
    return tf.keras.Model(x, layers.Dense(classes, name="top")(h), name="residual")


def in_a_row(pieces, h, **kwargs):
    for piece in pieces:
        h = piece(h, **kwargs)
    return h


def check_equal(network, modules, shape=(8, 8, 3)):
    frames = np.random.default_rng(0).random([2, *shape]).astype(tf.keras.backend.floatx())
    whole = network(frames, training=False)
    pieces = sw.split(network, modules)
    assert len(pieces) == modules
    np.testing.assert_array_equal(in_a_row(pieces, frames, training=False), whole)
    return pieces


def test_a_graph_with_branches():
    pieces = check_equal(residual(), 3)
    names = [unit.name for unit in find_units(residual())]
    assert names == [
        "in_4", "left_4_to_add_4", "in_6", "left_6_to_add_6", "pool", "top",
    ]  # fmt: skip
    assert pieces[0].name.startswith("in_4")


def test_a_model_in_a_model_is_cut_inside():
    x = tf.keras.Input([8, 8, 3])
    h = tf.keras.Sequential([layers.Conv2D(3, 1, name="a"), layers.ReLU(name="b")])(x)
    network = tf.keras.Model(x, layers.Dense(2, name="z")(residual()(h)))
    names = [unit.name for unit in find_units(network)]
    assert names[-7:] == [*(unit.name for unit in find_units(residual())), "z"]
    check_equal(network, 5)


def test_a_functional_model_in_a_sequential():
    network = tf.keras.Sequential([tf.keras.Input([8, 8, 3]), residual(), layers.Softmax()])
    assert len(find_units(network)) == 7
    check_equal(network, 7)


def test_a_list_with_models_and_layers():
    network = [layers.Conv2D(3, 1, name="first"), residual(), layers.Dense(2, name="last")]
    pieces = sw.split(network, 4, frame=tf.TensorSpec([1, 8, 8, 3]))
    frames = tf.random.uniform([2, 8, 8, 3])
    whole = in_a_row(network, frames)
    np.testing.assert_array_equal(in_a_row(pieces, frames), whole)


def test_a_shared_layer_within_a_piece_stays_one_layer():
    x = tf.keras.Input([4])
    shared = layers.Dense(4, name="shared")
    both = layers.Add()([shared(x), shared(shared(x))])
    network = tf.keras.Model(x, layers.Dense(2, name="top")(both))
    pieces = check_equal(network, 2, (4,))
    assert [len(piece.trainable_weights) for piece in pieces] == [2, 2]


def test_a_layer_shared_by_two_modules_is_refused():
    x = tf.keras.Input([4])
    shared = layers.Dense(4, name="shared")
    network = tf.keras.Model(x, layers.Dense(2)(shared(layers.ReLU()(shared(x)))))
    model = sw.SidewaysModel(network, 4)
    with pytest.raises(sw.UserError, match="shared"):
        model.build([1, 7, 4])


def test_constants_and_operations_between_layers_are_kept():
    x = tf.keras.Input([4])
    h = tf.nn.relu(layers.Dense(4)(x) * 2.0 - 1.0)
    network = tf.keras.Model(x, layers.Dense(2)(tf.concat([h, h + 1.0], axis=-1)))
    check_equal(network, 3, (4,))


def test_training_reaches_layers_inside():
    network = tf.keras.Sequential([tf.keras.Input([4]), layers.Dense(4), layers.Dropout(0.5)])
    (piece,) = sw.split(network, 1)
    frames = tf.ones([64, 4])
    assert not np.any(piece(frames, training=False).numpy() == 0.0)
    assert np.any(piece(frames, training=True).numpy() == 0.0)


def test_weights_set_before_are_those_of_the_pieces():
    network = residual()
    network.set_weights([np.full(w.shape, 0.5, np.float32) for w in network.weights])
    pieces = sw.split(network, 3)
    assert {id(w) for piece in pieces for w in piece.weights} == {id(w) for w in network.weights}
    assert all((w.numpy() == 0.5).all() for piece in pieces for w in piece.weights)


def test_the_model_is_left_as_it_was():
    network = residual()

    def seen():
        return (
            [type(layer) for layer in network.layers],
            [layer.output.name for layer in network.layers],
            [len(layer.inbound_nodes) for layer in network.layers],
            network.get_config(),
            network.get_weights(),
        )

    before = seen()
    model = sw.SidewaysModel(network, 3)
    model.compile("sgd", "mse")
    model.build([2, 5, 8, 8, 3])
    model.predict(np.zeros([2, 5, 8, 8, 3], np.float32), verbose=0)
    after = seen()
    assert after[:4] == before[:4]
    for old, new in zip(before[4], after[4], strict=True):
        np.testing.assert_array_equal(old, new)


def test_too_few_cuts_are_listed():
    with pytest.raises(sw.UserError) as caught:
        sw.split(residual(), 7)
    assert str(caught.value) == (
        "modules=7: the network can be cut into 1 to 6; one tensor crosses after in_4, "
        "left_4_to_add_4, in_6, left_6_to_add_6, pool"
    )


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (lambda: tf.keras.Sequential([layers.Dense(2)]), "give frame="),
        (lambda: two_inputs(), "2 inputs and 1 outputs"),
        (lambda: [layers.Dense(2), "dense"], "str is no model or layer"),
        (lambda: None, "NoneType is no model or layer"),
        (lambda: [], "no layer"),
    ],
)
def test_what_cannot_be_cut(network, words):
    with pytest.raises(sw.UserError, match=words) as caught:
        sw.split(network(), 1)
    assert "\n" not in str(caught.value)


def two_inputs() -> tf.keras.Model:
    x, y = tf.keras.Input([4]), tf.keras.Input([4])
    return tf.keras.Model([x, y], layers.Add()([x, y]))


def test_the_largest_piece_is_as_small_as_it_can_be():
    widths = (64, 1, 1, 1, 1, 1)
    network = tf.keras.Sequential([tf.keras.Input([64])])
    for n, width in enumerate(widths):
        network.add(layers.Dense(width, name=f"dense{n}"))
    assert [p.name for p in sw.split(network, 2)] == ["dense0", "dense1_to_dense5"]


CUT = """
import sideways_tf as sw, tensorflow as tf
convolutions = [tf.keras.layers.Conv2D(8 - n, 3, name=f"conv{n}") for n in range(6)]
net = tf.keras.Sequential([tf.keras.Input([16, 16, 3]), *convolutions])
names = [piece.name for piece in sw.split(net, 4)]
"""


def test_the_cut_is_the_same_in_another_process():
    here: dict = {}
    exec(CUT, here)
    there = subprocess.run(
        [sys.executable, "-c", f"{CUT}\nprint(*names)"],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert there.stdout.split() == here["names"]


def test_cut_by_measured_seconds():
    check = sw.split(residual(), 3, by="seconds")
    assert len(check) == 3
    with pytest.raises(sw.UserError, match="give operations or seconds"):
        sw.split(residual(), 3, by="hours")


NETWORKS = [
    "MobileNetV2",
    *(pytest.param(name, marks=pytest.mark.once)
      for name in ("ResNet50", "EfficientNetB0", "DenseNet121")),
]  # fmt: skip


def application(name):
    tf.keras.utils.set_random_seed(0)
    # 64 pixels: with less the last batch norms see one pixel, and what they do is ill-conditioned.
    return getattr(tf.keras.applications, name)(
        weights=None, classes=4, input_shape=(64, 64, 3), classifier_activation=None
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_real_networks_in_pieces_and_by_both_engines(name, float64):
    """Operation by operation: a graph of hundreds of layers takes minutes to make, as below."""
    network = application(name)
    frames = np.random.default_rng(0).random([2, 64, 64, 3])
    pieces = sw.split(network, 3)
    whole = network(frames, training=False)
    found = in_a_row(pieces, frames, training=False)
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-12)
    engines_agree(network, pieces, eager())


def test_a_real_network_by_both_engines_in_graphs(float64):
    network = application("MobileNetV2")
    engines_agree(network, sw.split(network, 3), contextlib.nullcontext())


@contextlib.contextmanager
def eager():
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def engines_agree(network, pieces, run):
    """D = 3, K = 2 D - 1: batch norm and dropout train."""
    clip = tf.constant(np.random.default_rng(1).random([5, 2, 64, 64, 3]))
    targets = tf.constant(np.random.default_rng(2).integers(0, 4, [5, 2]))
    modules = [sw.SidewaysBlock(piece) for piece in pieces]
    before = network.get_weights()
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits
    engines = PipelinedSideways(modules, loss), TimeShiftedSideways(modules, loss)
    for engine in engines:
        engine.build(tf.TensorSpec(clip.shape[1:], clip.dtype))
    with run:
        step_by_step = engines[0](clip, targets, [0, 1])
        after = network.get_weights()
        network.set_weights(before)
        at_once = engines[1](clip, targets, [0, 1])
    np.testing.assert_allclose(step_by_step.loss, at_once.loss, rtol=1e-12)
    np.testing.assert_allclose(step_by_step.outputs, at_once.outputs, rtol=0, atol=1e-11)
    for left, right in zip(step_by_step.pseudo_gradients, at_once.pseudo_gradients, strict=True):
        left, right = (np.concatenate([np.ravel(g) for g in each]) for each in (left, right))
        assert np.linalg.norm(right) > 0
        assert np.linalg.norm(left - right) < 1e-11 * np.linalg.norm(right)
    for left, right in zip(after, network.get_weights(), strict=True):
        # Keras rounds 1 - momentum to float32, the folded update does not.
        np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-12)

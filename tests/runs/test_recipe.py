"""The flagfiles say the paper's recipe (section 4.3), and a run made from them follows it."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf import SidewaysModel
from sideways_tf.modules import SidewaysBlock
from sideways_tf.runs import make
from sideways_tf.runs.config import Config
from sideways_tf.runs.from_flags import from_lines

ROOT = pathlib.Path(__file__).parents[2]
ROWS = {
    "hmdb_simplecnn": ("hmdb51", "simple_cnn", 0.0, 6),
    "hmdb_vgg8": ("hmdb51", "vgg8", 0.0, 8),
    "hmdb_vgg8_dropout": ("hmdb51", "vgg8", 0.9, 8),
    "ucf_simplecnn": ("ucf101", "simple_cnn", 0.0, 6),
    "ucf_vgg8": ("ucf101", "vgg8", 0.0, 8),
    "ucf_vgg8_dropout": ("ucf101", "vgg8", 0.9, 8),
}


def read(row):
    return from_lines([f"--flagfile={ROOT}/configs/{row}.cfg"])


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_table_1_has_the_whole_recipe(row):
    dataset, model, dropout, depth = ROWS[row]
    said = dataclasses.asdict(read(row))
    recipe = {
        "dataset": dataset, "model": model, "dropout": dropout, "algorithm": "sideways",
        "split": 1, "frames": 64, "stride": 1, "padding": "torus", "size": 112, "batch_size": 8,
        "epochs": 300, "max_iterations": 0, "optimizer": "adam", "learning_rate": 1e-4,
        "weight_decay": 0.0, "clip_value": 1.0, "warmup_epochs": 5.0, "drop_epochs": (100, 200),
        "holdout": 0.0, "modules": 0,
    }  # fmt: skip
    assert {name: said[name] for name in recipe} == recipe
    assert Config(**said).shorter_side == 128
    assert len(make.make_layers(Config(**said), 51)) == depth


def test_each_row_names_its_own_command():
    for row in ROWS:
        head = (ROOT / f"configs/{row}.cfg").read_text()
        assert f"train --flagfile=configs/{row}.cfg" in head
        assert f"sweep.py --flagfile=configs/{row}.cfg" in head


def test_precision_stays_with_the_layers_of_the_run():
    make.make_layers(dataclasses.replace(read("ucf_vgg8"), precision="mixed_bfloat16"), 7)
    assert tf.keras.layers.Dense(1).compute_dtype == "float32"
    tf.keras.backend.set_floatx("float64")
    try:
        assert tf.keras.layers.Dense(1).compute_dtype == "float64"
    finally:
        tf.keras.backend.set_floatx("float32")


def test_dropout_is_in_the_two_hidden_linear_modules_alone():
    layers = make.make_layers(read("ucf_vgg8_dropout"), 101)
    rates = [
        [inner.rate for inner in layer.submodules if isinstance(inner, tf.keras.layers.Dropout)]
        for layer in layers
    ]
    assert rates == [[], [], [], [], [], [0.9], [0.9], []]


@pytest.mark.parametrize("row", ["hmdb_simplecnn", "hmdb_vgg8_dropout", "ucf_simplecnn"])
def test_only_the_last_linear_layer_has_a_bias(row):
    config = dataclasses.replace(read(row), size=32)
    modules = [SidewaysBlock(layer) for layer in make.make_layers(config, 7)]
    h = tf.zeros([1, 32, 32, 3])
    for module in modules:
        h = module(h, training=False)
    biases = [[v.shape[0] for v in m.trainable_variables if "bias" in v.name] for m in modules]
    assert biases == [*([[]] * (len(modules) - 1)), [7]]


ALPHA, LAMBDA, PER_EPOCH, STEPS = 0.03, 0.2, 5, 50


def eta(n):
    """Warm-up over 2 epochs of 5 iterations, drops at epochs 4 and 7; iterations from 0."""
    return min(1.0, n / 10) / (1 if n < 20 else 10 if n < 35 else 100)


def test_a_run_updates_by_the_formula_of_decoupled_decay():
    """theta -= eta_t * (alpha * adam(clip(mean gradient)) + lambda * theta), for 50 iterations.

    A network y = theta * x in two modules, its gradients worked by hand: loss y, so that those of
    theta_1 are theta_2 * x and those of theta_2 are theta_1 * x, averaged over the frames and then
    clipped to 1. All frames are equal, which makes the pseudo-gradients exact.
    """
    config = Config(learning_rate=ALPHA, weight_decay=LAMBDA, warmup_epochs=2.0, drop_epochs=(4, 7))
    layers = [
        tf.keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", dtype="float64")
        for _ in range(2)
    ]
    model = SidewaysModel(layers)
    maker = make.optimizer_maker(config, PER_EPOCH, model)
    model.compile(maker, lambda y, h: h[:, 0])
    model._build(tf.TensorSpec([1, 4, 1], tf.float64))
    layers[0].set_weights([np.array([[1.5]])])
    layers[1].set_weights([np.array([[0.25]])])

    theta = np.array([1.5, 0.25])
    first, second = np.zeros(2), np.zeros(2)
    clipped = 0
    for n in range(STEPS):
        x = 1.0 + 0.5 * np.sin(n)
        gradient = theta[::-1] * x
        clipped += int((abs(gradient) > 1).sum())
        gradient = np.clip(gradient, -1, 1)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        rate = np.sqrt(1 - 0.999 ** (n + 1)) / (1 - 0.9 ** (n + 1))
        adam = rate * first / (np.sqrt(second) + 1e-7)
        theta = theta - eta(n) * (ALPHA * adam + LAMBDA * theta)
        model.train_on_batch(tf.fill([1, 4, 1], tf.constant(x, tf.float64)), tf.zeros([1]))
        weights = [layer.get_weights()[0].item() for layer in layers]
        np.testing.assert_allclose(weights, theta, rtol=0, atol=1e-7, err_msg=f"iteration {n}")
    assert clipped, "clipping was never put to the test"


@pytest.mark.parametrize(("count", "rate"), [(0, 0.0), (10, 0.5), (20, 1.0), (39, 1.0), (40, 0.1)])
def test_an_epoch_of_streams_is_as_many_updates_as_their_episodes(count, rate):
    """5 clips of 13 frames, an update after every 4 and after the last: 20 updates."""
    config = Config(
        model="autoencoder", frames=13, update_every=4, learning_rate=1.0, warmup_epochs=1.0,
        drop_epochs=(2,),
    )  # fmt: skip
    model = SidewaysModel([tf.keras.layers.Dense(1)])
    model.update_count = lambda: tf.constant(count)
    schedule = make.optimizer_maker(config, 5, model)().learning_rate
    np.testing.assert_allclose(schedule(0), rate, rtol=1e-6)


class FiveFrames:
    """A data set of one clip, whose pixels are the numbers of its frames, from 1."""

    def train_batches(self, clip, **_):
        return tf.data.Dataset.from_tensors((tf.range(1.0, 6.0)[tf.newaxis, :, tf.newaxis], [0]))


@pytest.mark.parametrize(
    ("algorithm", "target", "wanted"),
    [
        ("sideways", "paper", [1, 2, 3, 4, 5]),
        ("sideways", "source", [0, 0, 1, 2, 3]),
        ("bp", "paper", [0, 0, 1, 2, 3]),
        ("bp", "current", [1, 2, 3, 4, 5]),
    ],
)
def test_the_target_is_the_frame_at_hand_or_that_of_the_output(algorithm, target, wanted):
    """At each step of three modules, whose output is two steps late."""
    config = Config(model="autoencoder", algorithm=algorithm, target=target, frames=5)
    ((clips, targets),) = make.train_batches(config, FiveFrames(), 1, depth=3)
    np.testing.assert_array_equal(clips[0, :, 0], [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(targets[0, :, 0], wanted)

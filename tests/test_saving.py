"""What is saved comes back: whole models, plain networks without this package, configurations."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import sideways_tf as sw
from sideways_tf.modules import SidewaysBlock
from tests.test_model import CLIPS, LABELS, LOSS, WIDTH, K, compiled, fit, network, refused, same

layers = tf.keras.layers
HALVED = tf.keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
APART = {"devices": "CPU:0,CPU:1", "placement": "0,1"}


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("adam", {}),
        (tf.keras.optimizers.SGD(HALVED, momentum=0.9), APART),
        (tf.keras.optimizers.legacy.Adam(0.01), {}),
        ("adam", {"update_every": 1}),
    ],
    ids=["adam", "schedule", "legacy", "stream"],
)
def test_a_saved_model_goes_on_as_if_it_had_not_been(tmp_path, optimizer, options):
    unbroken, model = (compiled(optimizer=optimizer, **options) for _ in range(2))
    fit(unbroken, epochs=2)
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    same(loaded, model, rtol=0, atol=0)
    assert (int(loaded.iteration), int(loaded.steps)) == (3, 3 * K)
    fit(loaded)
    same(loaded, unbroken, rtol=1e-6, atol=1e-7)
    assert loaded.evaluate(CLIPS, LABELS, verbose=0) == pytest.approx(
        unbroken.evaluate(CLIPS, LABELS, verbose=0), rel=1e-5
    )


def test_a_list_of_layers_is_placed_anew_when_it_is_loaded(tmp_path):
    """Placing measures copies of the layers, which must not be built before."""
    given = [layers.Dense(3, activation="tanh"), layers.Dense(4), layers.Dense(2)]
    model = sw.SidewaysModel(given, devices=["CPU:0", "CPU:1"])
    model.compile("sgd", "mse")
    clips, targets = np.ones([2, 9, 5], np.float32), np.ones([2, 2], np.float32)
    model.fit(clips, targets, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(clips, verbose=0), model.predict(clips, verbose=0))


READER = """
import sys
try:
    import sideways_tf
    sys.exit("it can be imported here")
except ImportError:
    pass
import numpy as np, tensorflow as tf
np.save(sys.argv[3], tf.keras.models.load_model(sys.argv[1]).predict(np.load(sys.argv[2])))
"""


@pytest.mark.parametrize("kind", ["network", "list"])
def test_an_exported_network_needs_nothing_of_this_package(tmp_path, kind):
    if kind == "network":
        model = compiled(**APART)
    else:
        model = sw.SidewaysModel([layers.Dense(4), layers.Dense(3, "softmax")], **APART)
        model.compile("sgd", LOSS)
    fit(model)
    model.export(str(tmp_path / "plain.keras"))
    np.save(tmp_path / "frames.npy", CLIPS.reshape(-1, WIDTH))
    names = ["plain.keras", "frames.npy", "out.npy"]
    # -I: neither this folder nor PYTHONPATH; where the package is installed, it is hidden.
    hide = "import sys; sys.modules['sideways_tf'] = None\n"
    done = subprocess.run(
        [sys.executable, "-I", "-c", hide + READER, *names],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(out, model.predict(CLIPS, verbose=0).reshape(out.shape), rtol=1e-4)


def test_exporting_a_list_before_it_is_built_is_refused(tmp_path):
    model = sw.SidewaysModel([layers.Dense(4)])
    refused("not built", lambda: model.export(str(tmp_path / "plain.keras")))


def test_configuration_of_a_block():
    block = SidewaysBlock(layers.Dense(3, "tanh", name="inner"), "CPU:1", name="outer")
    config = block.get_config()
    twin = SidewaysBlock.from_config(config)
    assert (twin.name, twin.device, twin.layer.get_config()) == (
        "outer", "CPU:1", block.layer.get_config(),
    )  # fmt: skip
    assert SidewaysBlock.from_config(config).name == "outer"  # It is not used up.


@pytest.mark.parametrize("given", [network(), [layers.Dense(2), layers.Dense(3)]])
def test_configuration_of_a_model(given):
    modules = 2 if isinstance(given, tf.keras.Model) else None
    options = {
        "algorithm": "bp", "engine": "frame_by_frame", "devices": "CPU:0,CPU:1",
        "placement": "one_per_module", "update_every": 2, "dropout_mask": "step", "seed": 7,
    }  # fmt: skip
    model = sw.SidewaysModel(given, modules, **options)
    config = model.get_config()
    twin = sw.SidewaysModel.from_config(config)
    assert twin.get_config() == config
    assert {name: config[name] for name in options} == options
    assert twin.depth == 2


def test_weights_in_one_file(tmp_path):
    model, other = compiled(), compiled()
    fit(model)
    model.save_weights(tmp_path / "x.weights.h5")
    other.build([None, K, WIDTH])
    other.load_weights(tmp_path / "x.weights.h5")
    same(other, model, rtol=0, atol=0)

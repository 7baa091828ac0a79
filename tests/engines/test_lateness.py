"""Means against late pseudo-gradients: 20 steps against the reference in NumPy; what is refused.

float64: 1e-10 is far above rounding and far below any wrong rate, moment or offset.
"""

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf import SidewaysModel, UserError
from sideways_tf.learning_rate import DELAY_RATES, WarmUpThenDrops
from sideways_tf.optimizers import LOOK_AHEAD, Lateness, ModuleOptimizers
from sideways_tf.runs.config import Config
from sideways_tf.update_rules import make_optimizer
from tests.engines.networks import squared_error
from tests.engines.stream_reference import SidewaysReference
from tests.engines.test_stream import (
    BATCH,
    CLIP,
    DECAY,
    RATE,
    STEPS,
    WIDTH,
    Constant,
    L,
    close,
    stream_of_frames,
    weights_of,
)

DEPTH = 3


def make(name="adam", **options):
    options = {"clip_value": CLIP, **options}
    return lambda: make_optimizer(name, Constant(RATE), Constant(DECAY), **options)


def model_of(optimizer, every=1, **means):
    layers = [L.Dense(WIDTH, "tanh", dtype="float64") for _ in range(DEPTH)]
    model = SidewaysModel(layers, devices="CPU:0", update_every=every)
    model.compile(optimizer, squared_error, **means)
    model._build(tf.TensorSpec([BATCH, STEPS, WIDTH], tf.float64))
    model.optimizers.make(model.modules)
    model.restart(BATCH)
    for module, values in zip(model.modules, weights_of(DEPTH), strict=True):
        module.layer.set_weights(values)
    return model


def stream(model, frames, targets, parts=STEPS):
    for some in np.split(np.arange(STEPS), parts):
        model.advance(*(tf.constant(x[some].swapaxes(0, 1)) for x in (frames, targets)))


@pytest.mark.parametrize(
    ("every", "beta_1", "means", "reference"),
    [
        (1, 0.0, {}, {}),
        (1, 0.5, {"delay_rates": "root"}, {"divisor": lambda late: np.sqrt(1 + late)}),
        (1, 0.5, {"delay_rates": "inverse"}, {"divisor": lambda late: 1 + late}),
        (1, 0.5, {"look_ahead": "nesterov"}, {"ahead": lambda late: 0.5}),
        (1, 0.5, {"look_ahead": "delay"}, {"ahead": lambda late: late}),
        (4, 0.0, {"delay_rates": "inverse"}, {"divisor": lambda late: 1 + late}),
        (4, 0.5, {"look_ahead": "delay"}, {"ahead": lambda late: late / 4}),
    ],
)
def test_twenty_steps_are_those_of_the_hand_written_reference(every, beta_1, means, reference):
    frames, targets = stream_of_frames()
    right = SidewaysReference(
        weights_of(DEPTH), frames, targets, RATE, DECAY, CLIP, every, beta_1=beta_1, **reference
    ).run()
    model = model_of(make(beta_1=beta_1), every, **means)
    for t in range(every, STEPS + 1, every):
        model.advance(*(tf.constant(x[t - every : t].swapaxes(0, 1)) for x in (frames, targets)))
        for i, module in enumerate(model.modules, 1):
            for found, wanted in zip(module.layer.weights, right.weights[i][t], strict=True):
                close(found, wanted, f"step {t}, module {i}")
    for i, ahead in enumerate(model.optimizers.ahead, 1):
        assert bool(ahead) == bool(reference.get("ahead", lambda late: 0)(2 * (DEPTH - i)))


def test_nesterov_with_sgd_and_momentum_is_keras_own_rule():
    frames, targets = stream_of_frames()
    models = [
        model_of(tf.keras.optimizers.legacy.SGD(0.125, 0.5), look_ahead="nesterov"),
        model_of(tf.keras.optimizers.legacy.SGD(0.125, 0.5, nesterov=True)),
        model_of(tf.keras.optimizers.SGD(0.125, 0.5), look_ahead="nesterov"),
    ]
    for model in models:
        stream(model, frames, targets, parts=1)
    for model in models[1:]:
        for found, right in zip(
            model.trainable_variables, models[0].trainable_variables, strict=True
        ):
            close(found, right, "weights")


@pytest.mark.parametrize("kind", [tf.keras.optimizers.SGD, tf.keras.optimizers.legacy.SGD])
@pytest.mark.parametrize("rate", [0.5, WarmUpThenDrops(0.5, 1, 0.0, ())])
@pytest.mark.parametrize("made", [True, False], ids=["by a function", "copied"])
def test_every_kind_of_learning_rate_is_divided(kind, rate, made):
    """Three modules, all gradients 1: an update of SGD is the learning rate."""
    given = (lambda: kind(rate)) if made else kind(rate)
    updates = tf.Variable(0, dtype=tf.int64)
    optimizers = ModuleOptimizers(given, lambda: updates, Lateness(delay_rates="inverse"))
    model = model_of("sgd")
    optimizers.make(model.modules)
    assert float(optimizers.learning_rate()) == 0.5
    for i, module in enumerate(model.modules):
        variables = module.trainable_variables
        before = variables[0].numpy()
        optimizers.apply(i, [tf.ones_like(v) for v in variables], variables)
        expected = 0.5 / (1 + 2 * (DEPTH - 1 - i))
        np.testing.assert_allclose(before - variables[0], expected, rtol=1e-6)


def test_a_saved_model_goes_on_from_where_its_weights_look_to(tmp_path):
    frames, targets = stream_of_frames()
    first, second = (part.swapaxes(0, 1) for part in (frames, targets))
    unbroken, model = (
        model_of(tf.keras.optimizers.Adam(0.01), look_ahead="delay", delay_rates="root")
        for _ in range(2)
    )
    for each in (unbroken, model):
        each.train_on_batch(first, second)
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    saved = [name for name, _ in tf.train.list_variables(path) if "/ahead/" in name]
    assert len(saved) == 2 * (DEPTH - 1)  # Weight and bias of all modules but the last.
    model.save(tmp_path / "model.keras")
    custom = {"squared_error": squared_error}
    loaded = tf.keras.models.load_model(tmp_path / "model.keras", custom_objects=custom)
    assert np.any(loaded.optimizers.ahead[0][0])
    for each in (unbroken, loaded):
        each.train_on_batch(first, second)
    for found, right in zip(loaded.trainable_variables, unbroken.trainable_variables, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("model", "optimizer", "means", "said"),
    [
        ({}, "sgd", {"delay_rates": "double"}, "give one of none, root, inverse"),
        ({}, "sgd", {"look_ahead": "far"}, "give one of none, nesterov, delay"),
        ({"algorithm": "bp"}, "sgd", {"delay_rates": "root"}, "delay_rates=root: .* not late"),
        ({"algorithm": "bp", "update_every": 1}, "sgd", {"look_ahead": "delay"}, "are not late"),
        ({}, "sgd", {"look_ahead": "delay"}, "update_every=0 weights stand still"),
        ({}, "sgd", {"look_ahead": "nesterov"}, "SGD has no momentum to look ahead by"),
        ({}, "nadam", {"look_ahead": "nesterov"}, "Nadam does so by itself"),
    ],
)
def test_what_compile_refuses(model, optimizer, means, said):
    model = SidewaysModel([L.Dense(3)], **model)
    with pytest.raises(UserError, match=said):
        model.compile(optimizer, "mse", **means)


def test_the_flags_are_those_of_the_library():
    fields = Config.__dataclass_fields__
    assert fields["delay_rates"].metadata["flag"]["choices"] == tuple(DELAY_RATES)
    assert fields["look_ahead"].metadata["flag"]["choices"] == LOOK_AHEAD

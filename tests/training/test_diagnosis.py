"""Pseudo-gradients beside true gradients: hand-worked, limiting cases, and nothing changed."""

import numpy as np
import pytest
import tensorflow as tf
from sideways_tf.training.diagnosis import Diagnosis, compare
from sideways_tf.training.update import Update

from sideways_tf.engines import make_engine
from sideways_tf.learning_rate import WarmUpThenDrops
from sideways_tf.modules import SidewaysBlock
from sideways_tf.update_rules import make_optimizer

L = tf.keras.layers
FRAMES, BATCH, DEPTH = 9, 3, 4
ENGINES = [
    ("sideways", "time_shifted"), ("sideways", "pipelined"),
    ("bp", "time_shifted"), ("bp", "pipelined"), ("bp", "gpipe"),
]  # fmt: skip


def make_update(algorithm, engine, dropout=0.5):
    tf.keras.utils.set_random_seed(5)
    layers = [
        tf.keras.Sequential([L.Conv2D(4, 3, 2, use_bias=False), L.BatchNormalization(), L.ReLU()]),
        L.Conv2D(5, 3, 2, activation="tanh"),
        tf.keras.Sequential([L.Flatten(), L.Dense(8, "tanh"), L.Dropout(dropout)]),
        L.Dense(3),
    ]
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits
    made = make_engine(algorithm, [SidewaysBlock(layer) for layer in layers], loss, engine)
    made.build(tf.TensorSpec([BATCH, 12, 12, 3]))
    constant = {"warmup_epochs": 0.0, "drop_epochs": ()}
    rates = [WarmUpThenDrops(rate, 1, **constant) for rate in (1e-2, 0.0)]
    return Update(made, lambda: make_optimizer("adam", *rates), seed=7)


def a_clip(frozen=False):
    """float32 [K, B, 12, 12, 3], every frame its own noise or all frames the first."""
    clip = np.random.default_rng(0).random([FRAMES, BATCH, 12, 12, 3], np.float32)
    return tf.constant(np.repeat(clip[:1], FRAMES, 0) if frozen else clip)


LABELS = tf.constant([0, 1, 2])


@pytest.mark.parametrize(("algorithm", "engine"), ENGINES)
def test_identical_frames_agree_in_every_module(algorithm, engine):
    agreement = Diagnosis(make_update(algorithm, engine, dropout=0.0))(a_clip(frozen=True), LABELS)
    # float32 gradients of the two engines differ by rounding, about 1e-6.
    np.testing.assert_allclose(agreement.cosine, np.ones(DEPTH), atol=1e-5)
    np.testing.assert_allclose(agreement.norm_ratio, np.ones(DEPTH), atol=1e-5)


@pytest.mark.parametrize("engine", ["time_shifted", "pipelined"])
def test_the_last_module_always_agrees_and_those_below_do_not(engine):
    """Unrelated frames, with batch norm and dropout: masks and statistics are the same."""
    agreement = Diagnosis(make_update("sideways", engine))(a_clip(), LABELS)
    assert float(agreement.cosine[-1]) == pytest.approx(1, abs=1e-5)
    assert float(agreement.norm_ratio[-1]) == pytest.approx(1, abs=1e-5)
    assert np.all(agreement.cosine[:-1] < 0.99)


@pytest.mark.parametrize(("algorithm", "engine"), ENGINES[2:])
def test_bp_agrees_with_itself(algorithm, engine):
    agreement = Diagnosis(make_update(algorithm, engine))(a_clip(), LABELS)
    np.testing.assert_allclose(agreement.cosine, np.ones(DEPTH), atol=1e-5)


def test_against_all_frames_even_the_last_module_would_seem_off():
    """Why the comparison leaves out the frames that never reach module D."""
    update = make_update("sideways", "time_shifted", dropout=0.0)
    diagnosis = Diagnosis(update)
    labels = tf.repeat(LABELS[tf.newaxis], FRAMES, 0)
    pseudo = update.engine(a_clip(), labels).gradients
    whole = diagnosis.reference(a_clip(), labels).gradients
    assert float(compare(pseudo, whole).cosine[-1]) < 0.999


@pytest.mark.parametrize(("algorithm", "engine"), ENGINES[:3])
def test_a_diagnosis_changes_no_number_of_the_run(algorithm, engine):
    plain, diagnosed = (make_update(algorithm, engine) for _ in range(2))
    diagnosis = Diagnosis(diagnosed)
    for _ in range(2):
        diagnosis(a_clip(), LABELS)
        plain(a_clip(), LABELS)
        diagnosed(a_clip(), LABELS)
    for left, right in zip(plain.engine.modules, diagnosed.engine.modules, strict=True):
        for a, b in zip(left.variables, right.variables, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=a.name)
    norm = diagnosed.engine.modules[0].moving_statistics[0]
    assert np.abs(norm).max() > 0, "the updates themselves move the statistics"


def test_cosine_and_ratio_by_hand():
    left = [[tf.constant([3.0]), tf.constant([[0.0], [4.0]])], [tf.constant([1e-30])], []]
    right = [[tf.constant([6.0]), tf.constant([[8.0], [0.0]])], [tf.constant([-2e-30])], []]
    agreement = compare(left, right)
    # 18 / (5 * 10); numbers whose squares vanish in float32; no variables.
    np.testing.assert_allclose(agreement.cosine, [0.36, -1, np.nan], rtol=1e-6)
    np.testing.assert_allclose(agreement.norm_ratio, [0.5, 0.5, np.nan], rtol=1e-6)
    zero = compare([[tf.zeros([2])]], [[tf.ones([2])]])
    assert np.isnan(zero.cosine)
    assert np.isnan(zero.norm_ratio)

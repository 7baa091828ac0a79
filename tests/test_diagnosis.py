"""Pseudo-gradients beside true gradients: hand-worked, limiting cases, and nothing changed."""

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf import SidewaysModel
from sideways_tf.agreement import compare, reference_engine
from sideways_tf.callbacks import Diagnosis
from sideways_tf.engines import per_frame

L = tf.keras.layers
FRAMES, BATCH, DEPTH = 9, 3, 4
ENGINES = [
    ("sideways", "time_shifted"), ("sideways", "pipelined"),
    ("bp", "batched"), ("bp", "frame_by_frame"), ("bp", "gpipe"),
]  # fmt: skip


def make_model(algorithm, engine, dropout=0.5, masks="episode"):
    tf.keras.utils.set_random_seed(5)
    layers = [
        tf.keras.Sequential([L.Conv2D(4, 3, 2, use_bias=False), L.BatchNormalization(), L.ReLU()]),
        L.Conv2D(5, 3, 2, activation="tanh"),
        tf.keras.Sequential([L.Flatten(), L.Dense(8, "tanh"), L.Dropout(dropout)]),
        L.Dense(3),
    ]
    model = SidewaysModel(
        layers, algorithm=algorithm, engine=engine, devices="CPU:0", dropout_mask=masks, seed=7
    )
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits
    model.compile(tf.keras.optimizers.legacy.Adam(1e-2), loss)
    model.build([BATCH, FRAMES, 12, 12, 3])
    return model


def diagnose(model, clips, labels=None):
    """What one batch shows."""
    diagnosis = Diagnosis(1)
    diagnosis.set_model(model)
    model.train_on_batch(clips, LABELS if labels is None else labels)
    diagnosis.on_train_batch_end(0)
    return diagnosis.found


def some_clips(frozen=False):
    """float32 [B, K, 12, 12, 3], every frame its own noise or all frames the first."""
    clips = np.random.default_rng(0).random([BATCH, FRAMES, 12, 12, 3], np.float32)
    return tf.constant(np.repeat(clips[:, :1], FRAMES, 1) if frozen else clips)


LABELS = tf.constant([0, 1, 2])


@pytest.mark.parametrize(("algorithm", "engine"), ENGINES)
def test_identical_frames_agree_in_every_module(algorithm, engine):
    """With dropout: its masks hold for the whole clip."""
    agreement = diagnose(make_model(algorithm, engine), some_clips(frozen=True))
    # float32 gradients of the two engines differ by rounding, about 1e-6.
    np.testing.assert_allclose(agreement.cosine, np.ones(DEPTH), atol=1e-5)
    np.testing.assert_allclose(agreement.norm_ratio, np.ones(DEPTH), atol=1e-5)


@pytest.mark.parametrize("engine", ["time_shifted", "pipelined"])
@pytest.mark.parametrize("masks", ["episode", "step"])
def test_the_last_module_always_agrees_and_those_below_do_not(engine, masks):
    """Unrelated frames, each with a label of its own, batch norm and dropout.

    Masks and statistics are the same in both, and a frame meets the target of the step at which
    its output appears.
    """
    labels = tf.random.stateless_uniform([BATCH, FRAMES], [1, 2], 0, 3, tf.int32)
    agreement = diagnose(make_model("sideways", engine, masks=masks), some_clips(), labels)
    assert float(agreement.cosine[-1]) == pytest.approx(1, abs=1e-5)
    assert float(agreement.norm_ratio[-1]) == pytest.approx(1, abs=1e-5)
    assert np.all(agreement.cosine[:-1] < 0.99)


@pytest.mark.parametrize(("algorithm", "engine"), ENGINES[2:])
def test_bp_agrees_with_itself(algorithm, engine):
    agreement = diagnose(make_model(algorithm, engine), some_clips())
    np.testing.assert_allclose(agreement.cosine, np.ones(DEPTH), atol=1e-5)


def test_against_all_frames_even_the_last_module_would_seem_off():
    """Why the comparison leaves out the frames that never reach module D."""
    model = make_model("sideways", "time_shifted", dropout=0.0)
    clips = some_clips()
    pseudo = model.pseudo_gradients(clips, LABELS).pseudo_gradients
    clip = tf.transpose(clips, [1, 0, 2, 3, 4])
    whole = reference_engine(model.engine)(clip, per_frame(LABELS, FRAMES), [0, 0])
    assert float(compare(pseudo, whole.pseudo_gradients).cosine[-1]) < 0.999


@pytest.mark.parametrize(("algorithm", "engine"), ENGINES[:3])
def test_a_diagnosis_changes_no_number_of_the_run(algorithm, engine):
    plain, diagnosed = (make_model(algorithm, engine) for _ in range(2))
    diagnosis = Diagnosis(2)
    for callbacks, model in (([], plain), ([diagnosis], diagnosed)):
        data = tf.data.Dataset.from_tensors((some_clips(), LABELS)).repeat(3)
        model.fit(data, verbose=0, callbacks=callbacks)
    assert diagnosis.found is not None
    for left, right in zip(plain.variables, diagnosed.variables, strict=True):
        np.testing.assert_array_equal(left, right, err_msg=left.name)
    assert np.abs(diagnosed.modules[0].state[0]).max() > 0, "updates move the statistics"


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

"""The loss scale: exact where numbers are wide enough, and what happens where they are not.

A scale is a power of two. In float32 it changes no bit of what is learnt, whatever happens to it in
the middle of a pipe: that judges float16, whose own numbers are rounded, too.
"""

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf import ModuleCurves, SaveAndResume, SidewaysModel, UserError
from sideways_tf.engines import ENGINES, LossScale, make_engine, per_frame
from sideways_tf.engines.loss_scale import Scales
from sideways_tf.modules import SidewaysBlock

L = tf.keras.layers
Scaled = tf.keras.mixed_precision.LossScaleOptimizer
LOGITS = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
KINDS = [(algorithm, engine) for algorithm, there in ENGINES.items() for engine in there]
CLIPS = np.random.default_rng(0).normal(size=[4, 7, 4]).astype(np.float32)
LABELS = np.arange(4) % 3


def test_the_table_of_the_docstring():
    """Overflow of the loss of step 4 (in all modules, one step after the other), D = 3."""
    scale, rows = LossScale(8.0, growth=100), []
    scales = scale.start(3)
    for t in range(3, 8):
        rows.append(scales.under_way.numpy().tolist()[::-1])
        bad = [t == 6, t == 5, t == 4]
        scales = scale.after(scales, tf.constant(bad), tf.constant(True))
    assert rows == [[8, 8, 8], [8, 8, 8], [4, 8, 8], [4, 4, 8], [4, 4, 4]]


def test_it_doubles_after_so_many_good_updates_in_a_row():
    scale, values = LossScale(4.0, growth=3), []
    scales = scale.start(1)
    for good in (True, True, False, True, True, True, True, True, True):
        scales = scale.after(scales, tf.constant([not good]), tf.constant(good))
        values.append(float(scales.under_way[0]))
    assert values == [4, 4, 2, 2, 2, 4, 4, 4, 8]
    idle = scale.after(scales, tf.constant([False]), tf.constant(False))
    assert int(idle.good) == int(scales.good) == 0
    lowest = Scales(tf.constant([1.0]), tf.constant(0, tf.int64))
    assert float(scale.after(lowest, tf.constant([True]), tf.constant(False)).under_way[0]) == 1
    largest = Scales(tf.constant([2.0**127]), tf.constant(2, tf.int64))
    assert float(scale.after(largest, tf.constant([False]), tf.constant(True)).under_way[0]) > 1


def layers_of(policy="float32", regular=None):
    """Three small modules; a regularizer of activations needs an engine of steps."""
    return [
        L.Dense(4, "tanh", kernel_regularizer=regular, dtype=policy),
        L.Dense(4, "tanh", activity_regularizer=regular, dtype=policy),
        L.Dense(3, dtype=policy),
    ]


def model_of(algorithm, every, optimizer, policy="float32", regular=None):
    tf.keras.utils.set_random_seed(1)
    layers, one = layers_of(policy, regular), {"seed": 0, "devices": "CPU:0"}
    model = SidewaysModel(layers, algorithm=algorithm, update_every=every, **one)
    model.compile(optimizer, LOGITS)
    model.build(CLIPS.shape)
    return model


def clipped():
    return tf.keras.optimizers.Adam(0.01, clipvalue=0.02)


@pytest.mark.parametrize(
    ("algorithm", "every"), [("sideways", 0), ("sideways", 1), ("sideways", 3), ("bp", 2)]
)
def test_it_changes_no_bit_in_float32_though_it_changes_in_the_pipe(algorithm, every):
    """Unscaled before averaging, penalties, statistics, clipping and update; each by its own."""
    regular = tf.keras.regularizers.L2(0.01) if every else None
    scale = Scaled(clipped(), initial_scale=2.0**10, dynamic_growth_steps=2)
    plain, scaled = (
        model_of(algorithm, every, each, regular=regular) for each in (clipped(), scale)
    )
    for _ in range(4):
        for model in (plain, scaled):
            model.train_on_batch(CLIPS, LABELS)
    assert float(scaled.loss_scale.value) > 2.0**10
    assert int(scaled.loss_scale.skipped) == 0
    for left, right in zip(plain.trainable_variables, scaled.trainable_variables, strict=True):
        np.testing.assert_array_equal(left, right)
    for name in ("gradient_mean", "gradient_norm", "updates", "loss"):
        one, other = (getattr(model.monitor, name).numpy() for model in (plain, scaled))
        np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.mark.parametrize("algorithm", ENGINES)
def test_nor_in_a_live_stream(algorithm):
    scale = Scaled(clipped(), initial_scale=2.0**10, dynamic_growth_steps=1)
    models = [model_of(algorithm, 2, each) for each in (clipped(), scale)]
    for model in models:
        live = model.live(4, by_clock=True)
        for t in range(7):
            live.step(CLIPS[:, t], LABELS)
    assert float(models[1].loss_scale.value) > 2.0**11
    for left, right in zip(*(model.trainable_variables for model in models), strict=True):
        np.testing.assert_array_equal(left, right)


def episode(algorithm, engine, policy="float32", scale=None, loss=LOGITS, regular=None):
    tf.keras.utils.set_random_seed(1)
    modules = [SidewaysBlock(layer) for layer in layers_of(policy, regular)]
    loss_scale = None if scale is None else LossScale(scale)
    run = make_engine(algorithm, modules, loss, engine, loss_scale=loss_scale)
    found = run(CLIPS.swapaxes(0, 1), per_frame(tf.constant(LABELS), 7), [1, 2])
    return found.loss.numpy(), [g.numpy() for each in found.pseudo_gradients for g in each]


@pytest.mark.parametrize(("algorithm", "engine"), KINDS)
def test_an_engine_gives_pseudo_gradients_without_the_scale(algorithm, engine):
    stepwise = engine not in ("batched", "time_shifted")
    regular = tf.keras.regularizers.L2(0.01) if stepwise else None
    loss, right = episode(algorithm, engine, regular=regular)
    same, found = episode(algorithm, engine, scale=2.0**20, regular=regular)
    assert same == loss
    for left, wanted in zip(found, right, strict=True):
        np.testing.assert_array_equal(left, wanted)


@pytest.mark.parametrize(("algorithm", "engine"), [KINDS[0], KINDS[1], KINDS[4]])
def test_float16_finds_what_it_could_not_hold(algorithm, engine):
    """A loss of 1e-6 times the usual, whose gradients are about float16's smallest number."""

    def small(y, h):
        return 1e-6 * LOGITS.call(y, h)

    _, right = episode(algorithm, engine, loss=small)
    _, found = episode(algorithm, engine, "mixed_float16", 2.0**15, small)
    _, lost = episode(algorithm, engine, "mixed_float16", None, small)
    for left, wanted, without in zip(found, right, lost, strict=True):
        assert left.dtype == np.float32
        assert np.linalg.norm(left - wanted) < 0.01 * np.linalg.norm(wanted)
        assert np.linalg.norm(without - wanted) > 0.05 * np.linalg.norm(wanted)


def scalar_model(every, optimizer, depth=2):
    """y = x through `depth` modules of weight 1, loss 8 y: every pseudo-gradient is 8 at x = 1."""
    layers = [L.Dense(1, use_bias=False, kernel_initializer="ones") for _ in range(depth)]
    model = SidewaysModel(layers, update_every=every, engine="pipelined", devices="CPU:0")
    model.compile(optimizer, lambda y, h: 8 * h)
    model.build([1, 6, 1])
    return model


def test_an_overflow_skips_an_update_of_all_modules_where_l_is_k():
    """8 S overflows float32, 2^128, from S = 2^125 on: 2^126 and 2^125 are skipped."""
    sgd = tf.keras.optimizers.SGD(2.0**-4)
    model = scalar_model(0, Scaled(sgd, initial_scale=2.0**126, dynamic_growth_steps=2))
    seen = []
    for _ in range(4):
        shown = model.train_on_batch(np.ones([1, 6, 1]), np.zeros([1]), return_dict=True)
        weight, scale = float(model.modules[0].layer.kernel[0, 0]), model.loss_scale
        seen.append((weight, np.log2(scale.value), shown["skipped_updates"]))
        good = weight < 1
        assert model.monitor.updates.numpy().tolist() == [int(good)] * 2
        assert (model.monitor.gradient_norm.numpy() > 0).tolist() == [good] * 2
    # From 1, by 8 / 16; then the other weight is 1 / 2, and so is the pseudo-gradient: by 4 / 16.
    assert seen == [(1, 125, 1), (1, 124, 2), (0.5, 124, 2), (0.25, 125, 2)]
    assert [int(each.iterations) for each in model.optimizers.each] == [2, 2]


def test_an_overflow_in_the_pipe_halves_once_and_skips_what_it_reaches():
    """L = 1, D = 2, S = 2^126: the losses of steps 2 and 3 overflow, in module 1 a step later.

    Step 2: module 2 skips; 3: both skip; 4: module 1 skips (the loss of step 3), module 2 is
    updated; from 5 on both are.
    """
    sgd = tf.keras.optimizers.SGD(0.0)
    model = scalar_model(1, Scaled(sgd, initial_scale=2.0**126, dynamic_growth_steps=100))
    model.train_on_batch(np.ones([1, 6, 1]), np.zeros([1]))
    assert np.log2(model.loss_scale.value) == 124
    assert model.monitor.updates.numpy().tolist() == [2, 3]
    assert int(model.loss_scale.skipped) == 2 + 2
    assert int(model.loss_scale.good) == 3 - 1  # Step 4 is not good: module 1 skips.
    np.testing.assert_array_equal(model.monitor.gradient_norm, [8, 8])


def test_what_no_smaller_scale_helps_does_not_stay_unseen(tmp_path):
    """A fixed scale, and one that is 1 already."""
    for every in (0, 1):
        for scale in ({"dynamic": False, "initial_scale": 2.0**126}, {"initial_scale": 1.0}):
            model = scalar_model(every, Scaled(tf.keras.optimizers.SGD(0.1), **scale))
            clips = np.full([1, 6, 1], 1.0 if "dynamic" in scale else 1e38, np.float32)
            curves = ModuleCurves(tmp_path, every=1)
            with pytest.raises(UserError, match="gradients are not finite"):
                model.fit(clips, np.zeros([1]), verbose=0, callbacks=[curves])
            np.testing.assert_array_equal(model.modules[0].layer.kernel, [[1.0]])


@pytest.mark.parametrize("optimizer", [
    lambda: Scaled(tf.keras.optimizers.Adam(), initial_scale=2.0**4),
    lambda: Scaled(tf.keras.optimizers.legacy.Adam(), initial_scale=2.0**4),
    lambda: lambda: Scaled(tf.keras.optimizers.Adam(), initial_scale=2.0**4),
])  # fmt: skip
def test_a_users_own_scale(optimizer):
    model = model_of("sideways", 0, optimizer())
    assert float(model.loss_scale.value) == 2.0**4
    model.optimizers.make(model.modules)
    for each in (model.optimizer, *model.optimizers.each):
        assert not hasattr(each, "inner_optimizer")


@pytest.mark.parametrize("kind", [tf.keras.optimizers.SGD, tf.keras.optimizers.legacy.SGD])
def test_saving_keeps_the_scale(kind, tmp_path):
    optimizer = "sgd" if kind is tf.keras.optimizers.SGD else Scaled(kind(), initial_scale=2.0**4)
    model = model_of("sideways", 0, optimizer, "mixed_float16")
    assert float(model.loss_scale.value) == (2.0**15 if optimizer == "sgd" else 2.0**4)
    model.optimizers.make(model.modules)
    for value, variable in zip((8, 3, 2), model.loss_scale.variables, strict=True):
        variable.assign(value)
    model.save(tmp_path / "model.keras")
    again = tf.keras.models.load_model(tmp_path / "model.keras")
    assert [float(v) for v in again.loss_scale.variables] == [8, 3, 2]
    assert again.loss_scale.growth == model.loss_scale.growth


def test_skips_with_a_scale_that_changes_are_refused_where_the_pipe_goes_on():
    for scale, every in ((None, 1), (None, 0), ({"dynamic": False, "initial_scale": 8.0}, 1)):
        sgd = tf.keras.optimizers.SGD()
        layers = [L.Dense(4, dtype="mixed_float16") for _ in range(3)]
        model = SidewaysModel(layers, skips=[(1, 3)], update_every=every, devices="CPU:0")
        model.compile(Scaled(sgd, **scale) if scale else sgd, "mse")
        if scale or not every:
            model.build(CLIPS.shape)
            continue
        with pytest.raises(UserError, match=r"float16 with skips.* mixed_bfloat16"):
            model.build(CLIPS.shape)


def test_there_is_none_without_float16():
    for policy in ("float32", "mixed_bfloat16"):
        assert model_of("sideways", 0, "adam", policy).loss_scale is None


def test_a_stream_in_float16_goes_on_bit_for_bit_with_what_is_under_way(tmp_path):
    """Stopped while the scale has just changed: two scales are in the pipe."""
    frames = np.random.default_rng(1).normal(size=[4, 6, 4]).astype(np.float32)
    targets = np.tile(LABELS[:, None], [1, 6])

    def stream(folder):
        scale = Scaled(clipped(), initial_scale=2.0**8, dynamic_growth_steps=2)
        model, saved = model_of("sideways", 1, scale, "mixed_float16"), SaveAndResume(folder)
        model.restart(4)
        saved.set_model(model)
        saved.restore()
        return model, saved

    def state(model):
        scale, place = model.loss_scale, model.engine.network.place
        own = [*scale.variables, place.under_way]
        return [v.numpy() for v in [*model.trainable_variables, *own]]

    whole, _ = stream(tmp_path / "whole")
    for n in (0, 3):
        parts, saved = stream(tmp_path / "parts")
        assert int(parts.steps) == n
        for each in (whole, parts):
            each.advance(frames[:, n : n + 3], targets[:, n : n + 3])
        saved.save()
        if n == 0:
            parts.advance(frames[:, 3:4], targets[:, 3:4])
            assert len(set(parts.engine.network.place.under_way.numpy())) > 1
    for left, right in zip(state(whole), state(parts), strict=True):
        np.testing.assert_array_equal(left, right)


def test_probabilities_in_half_precision_are_refused():
    for policy in ("mixed_float16", "mixed_bfloat16"):
        model = SidewaysModel([L.Dense(3, "softmax", dtype=policy)], devices="CPU:0")
        model.compile("sgd", "sparse_categorical_crossentropy")
        with pytest.raises(UserError, match=r"takes probabilities, which b?float16 rounds: end"):
            model.train_on_batch(CLIPS, LABELS)
    for last in (L.Activation("softmax", dtype="float32"), L.Activation("softmax", dtype=policy)):
        model = SidewaysModel([L.Dense(3, dtype=policy), last], devices="CPU:0")
        takes = last.dtype_policy.name == "float32"
        model.compile("sgd", "sparse_categorical_crossentropy" if takes else "mse")
        model.pseudo_gradients(CLIPS, LABELS if takes else np.eye(3)[LABELS])


def test_skipped_updates_are_a_curve_and_in_the_history(tmp_path):
    model = scalar_model(0, Scaled(tf.keras.optimizers.SGD(0.0), initial_scale=2.0**126))
    curves = ModuleCurves(tmp_path, every=1)
    clips = np.ones([4, 6, 1])
    history = model.fit(clips, np.zeros([4]), batch_size=1, verbose=0, callbacks=[curves])
    assert history.history["skipped_updates"] == [2]
    points = {}
    for file in tmp_path.glob("events*"):
        for record in tf.data.TFRecordDataset(str(file)):
            for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value:
                points.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))
    assert points["fit/skipped_updates"] == [1, 2, 2, 2]
    assert np.log2(points["rate/loss_scale"]).tolist() == [125, 124, 124, 124]

"""SidewaysModel does what a Keras model does: its data, losses, optimizers, and what it refuses."""

import numpy as np
import pytest
import tensorflow as tf

import sideways_tf as sw

layers = tf.keras.layers
N, K, WIDTH, CLASSES = 6, 5, 4, 3
LOSS = "sparse_categorical_crossentropy"


def network(regularizer=None, seed=0):
    """Three layers in a row, with outputs that are probabilities."""
    tf.keras.utils.set_random_seed(seed)
    return tf.keras.Sequential([
        tf.keras.Input([WIDTH]),
        layers.Dense(5, "tanh", kernel_regularizer=regularizer),
        layers.Dense(6, "tanh"),
        layers.Dense(CLASSES, "softmax"),
    ])  # fmt: skip


def compiled(modules=2, optimizer="sgd", loss=LOSS, metrics=("accuracy",), **kwargs):
    model = sw.SidewaysModel(network(), modules, seed=1, **{"devices": "CPU:0", **kwargs})
    model.compile(optimizer, loss, list(metrics))
    return model


def data(count=N, frames=K):
    rng = np.random.default_rng(0)
    clips = rng.normal(size=[count, frames, WIDTH]).astype(np.float32)
    return clips, rng.integers(0, CLASSES, [count])


CLIPS, LABELS = data()


class Batches(tf.keras.utils.Sequence):
    def __len__(self):
        return 3

    def __getitem__(self, n):
        return CLIPS[2 * n : 2 * n + 2], LABELS[2 * n : 2 * n + 2]


def fit(model, *args, **kwargs):
    kwargs = {"batch_size": 2, "shuffle": False, "verbose": 0, **kwargs}
    return model.fit(*(args or (CLIPS, LABELS)), **kwargs)


def same(left, right, **tolerance):
    for a, b in zip(left.network.get_weights(), right.network.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, **{"rtol": 1e-5, "atol": 1e-6, **tolerance})


def refused(words, run):
    with pytest.raises(sw.UserError, match=words) as caught:
        run()
    assert "\n" not in str(caught.value)


# -- data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tf.data", "Sequence", "generator", "tensors"])
def test_every_kind_of_data_trains_alike(kind):
    expected, model = compiled(), compiled()
    fit(expected)
    given = {
        "tf.data": lambda: (tf.data.Dataset.from_tensor_slices((CLIPS, LABELS)).batch(2),),
        "Sequence": lambda: (Batches(),),
        "generator": lambda: (Batches()[n] for n in range(3)),
        "tensors": lambda: (tf.constant(CLIPS), tf.constant(LABELS)),
    }[kind]()
    kwargs = {} if kind == "tensors" else {"batch_size": None}
    fit(model, *((given,) if kind == "generator" else given), **kwargs)
    same(model, expected)


def test_validation_data_is_measured_and_learnt_from_by_nobody():
    expected, model = compiled(), compiled()
    fit(expected)
    history = fit(model, validation_data=(CLIPS, LABELS)).history
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    same(model, expected, rtol=0, atol=0)


def test_the_last_batch_may_be_smaller():
    expected, model = compiled(), compiled()
    for n in (0, 4):
        fit(expected, CLIPS[n : n + 4], LABELS[n : n + 4], batch_size=4)
    fit(model, batch_size=4)
    assert int(model.iteration) == 2
    same(model, expected)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (LOSS, LABELS),
        (LOSS, LABELS[:, None]),
        (LOSS, np.repeat(LABELS[:, None, None], K, 1)),
        ("categorical_crossentropy", np.eye(CLASSES)[LABELS]),
        ("categorical_crossentropy", np.repeat(np.eye(CLASSES)[LABELS][:, None], K, 1)),
        ("categorical_crossentropy", np.eye(CLASSES)[LABELS][:, None]),
    ],
)
def test_targets_of_clips_and_of_frames_mean_the_same(loss, targets):
    expected, model = compiled(), compiled(loss=loss)
    fit(expected)
    fit(model, CLIPS, targets)
    same(model, expected)


def test_each_frame_may_have_a_target_of_its_own():
    labels = np.random.default_rng(1).integers(0, CLASSES, [N, K])
    model = compiled()
    fit(model, CLIPS, labels)
    found = model.evaluate(CLIPS, labels, batch_size=N, verbose=0)
    probabilities = model.predict(CLIPS, verbose=0)
    own = np.take_along_axis(probabilities, labels[..., None], -1)
    assert found[0] == pytest.approx(-np.log(own).mean(), rel=1e-5)
    assert found[1] == pytest.approx((probabilities.argmax(-1) == labels).mean())


def test_targets_that_may_be_either_are_refused():
    clips, _ = data(frames=CLASSES)
    model = compiled()
    refused("may be one for each of 3 frames", lambda: fit(model, clips, np.zeros([N, CLASSES])))


def test_evaluate_is_the_mean_over_all_frames():
    model = compiled()
    model.build([None, K, WIDTH])
    found = model.evaluate(CLIPS, LABELS, batch_size=4, verbose=0, return_dict=True)
    probabilities = model.network.predict(CLIPS.reshape(-1, WIDTH), verbose=0)
    frames = np.repeat(LABELS, K)
    accuracy = (probabilities.argmax(-1) == frames).mean()
    assert found["accuracy"] == pytest.approx(accuracy)
    # As in Keras, the loss is that of all examples, however they were batched.
    loss = -np.log(probabilities[np.arange(len(frames)), frames]).mean()
    assert found["loss"] == pytest.approx(loss, rel=1e-5)


def test_predict_gives_the_output_of_each_frame():
    model = compiled()
    fit(model)
    out = model.predict(CLIPS, batch_size=4, verbose=0)
    assert out.shape == (N, K, CLASSES)
    plain = model.network(CLIPS.reshape(-1, WIDTH)).numpy().reshape(out.shape)
    np.testing.assert_allclose(out, plain, rtol=1e-5)


def test_predict_before_anything_else():
    model = sw.SidewaysModel(network(), 2)
    assert model.predict(CLIPS, verbose=0).shape == (N, K, CLASSES)


def test_train_on_batch_and_test_on_batch():
    model = compiled()
    first = model.train_on_batch(CLIPS, LABELS)
    assert len(first) == len(model.test_on_batch(CLIPS, LABELS)) == 2
    assert model.metrics_names == ["loss", "accuracy"]


# -- compile --------------------------------------------------------------------------------------

SCHEDULE = tf.keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)


@pytest.mark.parametrize(
    "optimizer",
    [
        "adam",
        "rmsprop",
        tf.keras.optimizers.Adam(0.01),
        tf.keras.optimizers.SGD(SCHEDULE, momentum=0.9),
        tf.keras.optimizers.legacy.Adam(0.01),
        tf.keras.optimizers.legacy.SGD(SCHEDULE, momentum=0.9),
        lambda: tf.keras.optimizers.legacy.Adagrad(0.01),
        tf.keras.optimizers.AdamW(0.01, weight_decay=0.1),
        tf.keras.optimizers.SGD(0.1, clipvalue=1e-3),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_bp_in_one_module_is_keras(optimizer):
    """Weights after some steps, the regularizer's gradients among them."""
    clips, labels = CLIPS, LABELS
    plain, given = network("l2"), network("l2")
    made = optimizer() if callable(optimizer) else optimizer
    if not isinstance(made, str):
        made = type(made).from_config(made.get_config())
    plain.compile(made, LOSS)
    plain.fit(
        clips.reshape(-1, WIDTH), np.repeat(labels, K),
        batch_size=2 * K, epochs=2, shuffle=False, verbose=0,
    )  # fmt: skip
    model = sw.SidewaysModel(given, 1, algorithm="bp")
    model.compile(optimizer, LOSS)
    fit(model, epochs=2)
    for a, b in zip(plain.get_weights(), model.network.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_the_loss_that_fit_reports_is_keras_own():
    plain, given = network("l2"), network("l2")
    plain.compile("sgd", LOSS, ["accuracy"])
    history = plain.fit(
        CLIPS.reshape(-1, WIDTH), np.repeat(LABELS, K), batch_size=4 * K, shuffle=False, verbose=0
    ).history
    model = sw.SidewaysModel(given, 1, algorithm="bp")
    model.compile("sgd", LOSS, ["accuracy"])
    found = fit(model, batch_size=4).history
    assert found["accuracy"] == pytest.approx(history["accuracy"])
    assert found["loss"] == pytest.approx(history["loss"], rel=1e-5)
    tested = plain.evaluate(CLIPS.reshape(-1, WIDTH), np.repeat(LABELS, K), verbose=0)
    assert model.evaluate(CLIPS, LABELS, verbose=0) == pytest.approx(tested, rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        tf.keras.losses.SparseCategoricalCrossentropy(),
        tf.keras.losses.SparseCategoricalCrossentropy(reduction="none"),
        tf.keras.losses.sparse_categorical_crossentropy,
        lambda y, out: -tf.math.log(tf.gather(out, tf.cast(y, tf.int32), batch_dims=1)),
    ],
)
def test_losses_by_name_object_and_function(loss):
    expected, model = compiled(), compiled(loss=loss)
    fit(expected)
    fit(model)
    same(model, expected)


def test_what_compile_refuses():
    model = sw.SidewaysModel(network(), 2)
    summed = tf.keras.losses.MeanSquaredError(reduction="sum")
    refused("loss_weights", lambda: model.compile("sgd", LOSS, loss_weights=[1.0]))
    refused("weighted_metrics", lambda: model.compile("sgd", LOSS, weighted_metrics=["accuracy"]))
    refused("reduction=sum", lambda: model.compile("sgd", summed))
    refused("one loss", lambda: model.compile("sgd"))
    refused("one loss", lambda: model.compile("sgd", [LOSS, LOSS]))
    refused("loss=mistyped", lambda: model.compile("sgd", "mistyped"))
    refused("optimizer=mistyped", lambda: model.compile("mistyped", LOSS))


@pytest.mark.parametrize(
    ("words", "run"),
    [
        ("sample_weight", lambda m: fit(m, sample_weight=np.ones(N))),
        ("class_weight", lambda m: fit(m, class_weight={0: 2.0, 1: 1.0, 2: 1.0})),
        ("no targets", lambda m: m.fit(CLIPS, verbose=0)),
        ("3 frames are too few for 3 modules", lambda m: fit(m, CLIPS[:, :3], LABELS)),
        (r"clips of shape \(None, 4\)", lambda m: fit(m, CLIPS[:, 0], LABELS)),
        ("one number for the whole batch", lambda m: mean_loss(m)),
        ("neither 5 frames nor a clip", lambda m: fit(m, CLIPS, np.zeros([N, 2, CLASSES]))),
        ("the loss takes no targets", lambda m: fit(m, CLIPS, np.zeros([N, 2]))),
    ],
)
def test_what_fit_refuses_comes_out_in_one_line(words, run):
    model = compiled(3)
    refused(words, lambda: run(model))


def mean_loss(model):
    model.compile("sgd", lambda y, out: tf.reduce_mean(out))
    fit(model)


def test_before_compile_the_answer_is_what_is_missing():
    model = sw.SidewaysModel(network(), 2, devices="CPU:0")
    refused("call compile", lambda: model.pseudo_gradients(CLIPS, LABELS))
    with pytest.raises(RuntimeError, match="compile"):  # Keras' own words.
        fit(model)


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("modules is missing", lambda: sw.SidewaysModel(network())),
        ("int is no model", lambda: sw.SidewaysModel(3, 2)),
        ("NoneType is no model", lambda: sw.SidewaysModel([layers.Dense(1), None])),
        ("update_every=-1", lambda: sw.SidewaysModel(network(), 2, update_every=-1)),
        ("algorithm=sgd", lambda: sw.SidewaysModel(network(), 2, algorithm="sgd")),
        ("engine=batched", lambda: sw.SidewaysModel(network(), 2, engine="batched")),
        ("dropout_mask=never", lambda: sw.SidewaysModel(network(), 2, dropout_mask="never")),
        ("modules=0", lambda: sw.SidewaysModel(network(), 0)),
        ("modules=9", lambda: sw.SidewaysModel(network(), 9)),
        ("CPU:77", lambda: sw.SidewaysModel(network(), 2, devices="CPU:77")),
    ],
)
def test_wrong_arguments_are_refused_when_the_model_is_made(words, make):
    refused(words, make)


# -- devices, episodes ----------------------------------------------------------------------------


@pytest.mark.parametrize("devices", ["CPU:0", "CPU:1,CPU:2", "CPU:0,CPU:1,CPU:2"])
@pytest.mark.parametrize("algorithm", ["sideways", "bp"])
def test_devices_change_no_weight(devices, algorithm):
    expected = compiled(3, algorithm=algorithm, optimizer="adam", devices="CPU:0")
    model = compiled(
        3, algorithm=algorithm, optimizer="adam", devices=devices, placement="one_per_module"
    )
    before = model.network.get_weights() if devices == "CPU:0" else None
    for each in (expected, model):
        fit(each, epochs=2)
    same(model, expected)
    there = {tf.DeviceSpec.from_string(w.device).device_index
             for m in model.modules for w in m.weights}  # fmt: skip
    assert len(there) == len(devices.split(","))
    assert before is None or any((a != b).any() for a, b in zip(
        before, model.network.get_weights(), strict=True))  # fmt: skip


def test_the_network_that_was_given_has_the_trained_weights():
    given = network()
    model = sw.SidewaysModel(given, 3, devices="CPU:0,CPU:1,CPU:2", placement="one_per_module")
    model.compile("sgd", LOSS)
    before = given.get_weights()
    fit(model)
    assert model.network is given
    assert all((a != b).any() for a, b in zip(before, given.get_weights(), strict=True))
    out = model.predict(CLIPS, verbose=0)
    np.testing.assert_allclose(given(CLIPS.reshape(-1, WIDTH)), out.reshape(-1, CLASSES), rtol=1e-5)


@pytest.mark.parametrize("algorithm", ["sideways", "bp"])
@pytest.mark.parametrize("every", [1, 2, 5, 100])
def test_update_every(algorithm, every):
    model = compiled(algorithm=algorithm, update_every=every)
    fit(model)
    assert int(model.steps) == 3 * K
    updates = model.monitor.updates.numpy()
    # Sideways' module 2 is due at steps 2 to 5, blocked BP's at steps 2 and 5.
    expected = {"sideways": {1: 4, 2: 3, 5: 1, 100: 1}, "bp": {1: 2, 2: 2, 5: 1, 100: 1}}
    assert updates[-1] == expected[algorithm][every]
    if every >= K:
        expected = compiled(algorithm=algorithm)
        fit(expected)
        same(model, expected)


def test_pseudo_gradients_move_nothing():
    given = [layers.Dense(5), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(3)]
    model = sw.SidewaysModel(given, seed=0)
    model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    clips, labels = data(4, 9)
    fit(model, clips, labels, batch_size=4)
    before = [v.numpy() for v in model.variables]
    rest = [
        v.numpy() for m in model.modules for v in (m.activation, m.pseudo_gradient) if v is not None
    ]
    episode = model.pseudo_gradients(clips, labels)
    again = model.pseudo_gradients(clips, labels)
    other = model.pseudo_gradients(clips, labels, seed=[5, 5])
    for old, new in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, new)
    assert [len(found) for found in episode.pseudo_gradients] == [2, 2, 0, 2]
    assert episode.outputs.shape == (9 - 3, 4, 3)
    assert float(episode.loss) == float(again.loss) != float(other.loss)
    kept = [v for m in model.modules for v in (m.activation, m.pseudo_gradient) if v is not None]
    for old, new in zip(rest, kept, strict=True):
        np.testing.assert_array_equal(old, new)


def test_clips_of_another_length_and_size_may_come():
    model = compiled(3)
    fit(model)
    clips, labels = data(4, K + 2)
    fit(model, clips, labels)
    assert model.predict(clips, verbose=0).shape == (4, K + 2, CLASSES)
    fit(model)
    assert int(model.iteration) == 3 + 2 + 3


def test_frames_of_another_size_may_come():
    given = [layers.Conv2D(2, 3), layers.GlobalAveragePooling2D(), layers.Dense(CLASSES)]
    model = sw.SidewaysModel(given)
    model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for side in (8, 10, 8):
        fit(model, np.zeros([2, K, side, side, 3], np.float32), LABELS[:2])
    assert int(model.iteration) == 3


def test_whole_numbers_and_bytes_are_frames_too():
    given = [layers.Rescaling(1 / 255.0), layers.Dense(4), layers.Dense(CLASSES, "softmax")]
    model = sw.SidewaysModel(given)
    model.compile("sgd", LOSS)
    fit(model, (CLIPS * 50 + 128).astype(np.uint8), LABELS)
    assert model.predict((CLIPS * 50 + 128).astype(np.uint8), verbose=0).shape == (N, K, CLASSES)


def test_the_global_seed_settles_everything():
    def trained(seed):
        tf.keras.utils.set_random_seed(seed)
        model = sw.SidewaysModel([layers.Dense(5), layers.Dropout(0.5), layers.Dense(CLASSES)])
        model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        fit(model, shuffle=True)
        return model

    same(trained(3), trained(3), rtol=0, atol=0)
    with pytest.raises(AssertionError):
        same(trained(3), trained(4))


def test_what_layers_add_to_the_loss_is_reported():
    given = [layers.Dense(4, activity_regularizer="l2"), layers.Dense(CLASSES, "softmax")]
    model = sw.SidewaysModel(given)
    model.compile("sgd", LOSS)
    assert fit(model).history["loss"][0] > 0


def test_frozen_layers_stay():
    given = network()
    given.layers[0].trainable = False
    before = given.get_weights()
    model = sw.SidewaysModel(given, 3)
    model.compile("sgd", LOSS)
    fit(model)
    after = model.network.get_weights()
    moved = [(a != b).any() for a, b in zip(before, after, strict=True)]
    assert moved == [False, False, True, True, True, True]


def test_summary_and_counts_are_those_of_the_network(capsys):
    model = compiled()
    model.build([None, K, WIDTH])
    assert len(model.trainable_variables) == 6
    model.summary()
    assert "module_" in capsys.readouterr().out


@pytest.mark.parametrize("optimizer", ["adam", tf.keras.optimizers.legacy.Adam()])
def test_a_step_is_traced_once(optimizer, monkeypatch):
    traced, step = [], sw.SidewaysModel.train_step
    monkeypatch.setattr(
        sw.SidewaysModel, "train_step", lambda self, data: traced.append(1) or step(self, data)
    )
    fit(compiled(optimizer=optimizer), epochs=2)
    assert len(traced) == 1

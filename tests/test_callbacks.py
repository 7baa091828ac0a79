"""Keras' own callbacks work on a SidewaysModel as on any model."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from tests.test_model import CLIPS, LABELS, WIDTH, K, compiled, fit, same

callbacks = tf.keras.callbacks


def test_early_stopping_gives_back_the_best_weights():
    model = compiled(optimizer=tf.keras.optimizers.SGD(0.0))
    stop = callbacks.EarlyStopping("loss", patience=2, restore_best_weights=True)
    history = fit(model, epochs=9, callbacks=[stop])
    assert len(history.history["loss"]) == 3


def test_early_stopping_restores_copies_on_other_devices():
    model = compiled(3, devices="CPU:0,CPU:1,CPU:2", placement="one_per_module")
    fit(model)
    best = model.network.get_weights()
    stop = callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True, baseline=-1.0)
    model.optimizer.learning_rate = 100.0
    fit(model, epochs=3, validation_data=(CLIPS, LABELS), callbacks=[stop])
    kept = stop.best_weights
    model.set_weights(kept)
    assert any((a != b).any() for a, b in zip(best, model.network.get_weights(), strict=True))
    out = model.network(CLIPS.reshape(-1, WIDTH)).numpy()
    np.testing.assert_allclose(model.predict(CLIPS, verbose=0).reshape(out.shape), out, rtol=1e-5)


@pytest.mark.parametrize("weights_only", [False, True])
def test_model_checkpoint(tmp_path, weights_only):
    path = str(tmp_path / ("best.weights.h5" if weights_only else "best.keras"))
    model = compiled(optimizer="adam")
    saver = callbacks.ModelCheckpoint(
        path, monitor="loss", save_best_only=True, save_weights_only=weights_only
    )
    fit(model, epochs=2, callbacks=[saver])
    if weights_only:
        other = compiled(optimizer="adam")
        other.build([None, K, WIDTH])
        other.load_weights(path)
    else:
        other = tf.keras.models.load_model(path)
    same(other, model, rtol=0, atol=0)


class Broken(callbacks.Callback):
    """Fails once, at the end of an epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_backup_and_restore_goes_on_where_it_broke(tmp_path):
    unbroken = compiled(optimizer="adam")
    fit(unbroken, epochs=4)
    backup = callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(compiled(optimizer="adam"), epochs=4, callbacks=[backup, Broken()])
    model = compiled(optimizer="adam")
    history = fit(model, epochs=4, callbacks=[callbacks.BackupAndRestore(tmp_path)])
    assert history.epoch == [2, 3]
    same(model, unbroken, rtol=0, atol=0)


def test_the_rate_that_a_callback_sets_is_that_of_every_module():
    model, expected = compiled(3), compiled(3)
    still = callbacks.LearningRateScheduler(lambda epoch: 0.0 if epoch else 0.01)
    history = fit(model, epochs=3, callbacks=[still])
    fit(expected)
    same(model, expected)
    assert history.history["lr"] == pytest.approx([0.01, 0.0, 0.0])
    assert float(model.optimizers.learning_rate()) == 0.0


def test_reduce_on_plateau():
    model = compiled(optimizer=tf.keras.optimizers.legacy.SGD(1e-9))
    reduce = callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1.0)
    fit(model, epochs=3, callbacks=[reduce])
    assert float(model.optimizers.learning_rate()) == pytest.approx(1e-9 / 4)


def test_terminate_on_nan():
    model = compiled()
    history = fit(model, CLIPS * np.nan, LABELS, epochs=3, callbacks=[callbacks.TerminateOnNaN()])
    assert int(model.iteration) == 1
    assert len(history.epoch) == 1


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    history = fit(
        compiled(), epochs=2, validation_data=(CLIPS, LABELS),
        callbacks=[callbacks.CSVLogger(path)],
    ).history  # fmt: skip
    rows = list(csv.DictReader(path.open()))
    assert list(rows[0]) == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    assert [float(row["loss"]) for row in rows] == pytest.approx(history["loss"])


def test_tensorboard(tmp_path):
    board = callbacks.TensorBoard(tmp_path, histogram_freq=1)
    fit(compiled(), epochs=2, validation_data=(CLIPS, LABELS), callbacks=[board])
    tags = set()
    for path in map(str, tmp_path.rglob("*.v2")):
        for event in tf.compat.v1.train.summary_iterator(path):
            tags |= {value.tag for value in event.summary.value}
    assert {"epoch_loss", "epoch_accuracy"} <= tags
    assert any("kernel" in tag for tag in tags)

"""`SaveAndResume`: the running average of the loss, kept over a stop."""

import numpy as np
import pytest
import tensorflow as tf

import sideways_tf as sw


def model():
    tf.keras.utils.set_random_seed(1)
    layers = [tf.keras.layers.Dense(3, "tanh"), tf.keras.layers.Dense(2)]
    made = sw.SidewaysModel(layers, seed=0)
    made.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    made.build([2, 5, 4])
    return made


def test_mean_loss_is_a_running_average_over_the_window_and_survives_a_stop(tmp_path):
    """m += (loss - m) / min(n, 2): the mean of two, then half the old and half the new."""
    clips = np.random.default_rng(0).random([8, 5, 4]).astype(np.float32)
    losses, wanted = [], 0.0
    for stop in (2, 4):  # two batches, a stop, two more
        trained, saved = model(), sw.SaveAndResume(tmp_path, window=2)
        saved.set_model(trained)
        done = saved.restore()
        assert float(saved.mean_loss) == pytest.approx(wanted, rel=1e-6)
        for n in range(done, stop):
            batch = clips[2 * n : 2 * n + 2]
            trained.fit(batch, np.array([0, 1]), batch_size=2, verbose=0, callbacks=[saved])
            losses.append(float(trained.monitor.loss))
            wanted += (losses[-1] - wanted) / min(n + 1, 2)
            assert float(saved.mean_loss) == pytest.approx(wanted, rel=1e-6)
        saved.save()
    assert len(set(losses)) == 4

"""Frames that go through the modules as a pipe come out as if they had gone one by one."""

import numpy as np
import pytest
import tensorflow as tf

import sideways_tf as sw

layers = tf.keras.layers


def built(devices):
    tf.keras.utils.set_random_seed(0)
    given = [
        layers.Conv2D(3, 3, padding="same"), layers.BatchNormalization(), layers.Dropout(0.5),
        layers.Flatten(), layers.Dense(4),
    ]  # fmt: skip
    model = sw.SidewaysModel(given, devices=devices, placement="one_per_module")
    model.build([None, 9, 6, 6, 2])
    norm = given[1]
    norm.set_weights([np.full(3, value, np.float32) for value in (2.0, 1.0, 0.5, 4.0)])
    return model


@pytest.mark.parametrize("devices", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 3, 12])
def test_outputs_are_those_of_plain_inference(devices, count):
    model = built(",".join(f"CPU:{n}" for n in range(devices)))
    frames = tf.random.stateless_normal([count, 6, 6, 2], [0, 1])
    found = model.predict_stream(frames)
    plain = model.predict(frames[np.newaxis], verbose=0)[0]
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.network(frames), plain, rtol=1e-5, atol=1e-6)


def test_another_length_needs_no_new_graph():
    model = built("CPU:0")
    for count in (4, 5, 9, 11):
        assert model.predict_stream(np.zeros([count, 6, 6, 2], np.float32)).shape == (count, 4)
    assert model._as_pipe.experimental_get_tracing_count() <= 2


def test_it_runs_before_anything_is_built():
    model = sw.SidewaysModel([layers.Dense(3), layers.Dense(2)])
    assert model.predict_stream(np.zeros([4, 5], np.float32)).shape == (4, 2)

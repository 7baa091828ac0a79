"""Keras models cut where branches cross: aligned, they are the model; else newer frames come in."""

import numpy as np
import pytest
import tensorflow as tf

import sideways_tf as sw
from sideways_tf.errors import UserError

L = tf.keras.layers


def network():
    """A residual block around most of it, another inside, and the frame itself again at the end."""
    x = tf.keras.Input([3])
    h = L.Dense(4, activation="tanh", name="a")(x)
    left = L.Dense(4, activation="tanh", name="b")(h)
    inner = L.Add(name="c")([L.Dense(4, activation="tanh", name="d")(left), left])
    out = L.Add(name="e")([L.Dense(4, activation="tanh", name="f")(inner), h])
    both = L.Concatenate(name="g")([out, x])
    return tf.keras.Model(x, L.Dense(2, name="top")(both))


def clips(frames=20):
    rng = np.random.default_rng(0)
    return np.float32(rng.normal(size=[4, frames, 3])), np.float32(rng.normal(size=[4, 2]))


@pytest.mark.parametrize("modules", [1, 3, 5, 8])
def test_aligned_the_parts_are_the_model(modules):
    tf.keras.utils.set_random_seed(1)
    net, (x, _) = network(), clips(6)
    parts = sw.split(net, modules, align=True)
    assert len(parts) == modules
    assert all(delay == target - source for source, target, delay in parts.skips)
    assert {id(w) for part in parts for w in part.weights} == {id(w) for w in net.weights}
    made = sw.SidewaysModel(net, modules, align=True, devices="CPU:0")
    assert made.wiring.history == 0
    expected = net.predict(x.reshape(-1, 3), verbose=0).reshape(4, 6, 2)
    np.testing.assert_allclose(made.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)


def test_it_trains_the_model_in_the_place_of_plain_keras():
    """BP frame by frame of the parts is Keras' own gradient; and Sideways learns something."""
    tf.keras.utils.set_random_seed(1)
    net, (x, y) = network(), clips()
    made = sw.SidewaysModel(net, 5, align=True, algorithm="bp", devices="CPU:0")
    made.compile("sgd", "mse")
    found = made.pseudo_gradients(x, y).pseudo_gradients
    with tf.GradientTape() as tape:
        out = net(x.reshape(-1, 3), training=True)
        loss = tf.reduce_mean((out - np.repeat(y, 20, 0)) ** 2)
    parts = {v.ref(): g for m, gs in zip(made.modules, found, strict=True)
             for v, g in zip(m.trainable_variables, gs, strict=True)}  # fmt: skip
    for variable, right in zip(
        net.trainable_variables, tape.gradient(loss, net.trainable_variables), strict=True
    ):
        np.testing.assert_allclose(parts[variable.ref()], right, rtol=1e-4, atol=1e-6)


def test_not_aligned_newer_frames_come_the_short_way(tmp_path):
    tf.keras.utils.set_random_seed(1)
    x, y = clips()
    made = sw.SidewaysModel(network(), 5, align=False, devices="CPU:0")
    assert {skip.delay for skip in made.wiring.skips} == {1}
    assert made.wiring.history > 0
    made.compile("sgd", "mse")
    made.fit(x, y, batch_size=4, verbose=0)
    made.save(tmp_path / "model.keras")
    again = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), made.predict(x, verbose=0), rtol=1e-5)


def test_what_cannot_be_cut_so_is_refused():
    net = network()
    for given, said in (
        ((net, 9), "has 8 layers"),
        (([L.Dense(2), L.Dense(2)], 2), "no graph of layers"),
    ):
        with pytest.raises(UserError, match=said):
            sw.split(*given, align=True)
    ints = tf.keras.Input([3])
    whole = tf.cast(ints, tf.int32)
    mixed = tf.keras.Model(ints, ints + tf.cast(tf.cast(whole, tf.int32) + whole, tf.float32))
    with pytest.raises(UserError, match="several types cross"):
        sw.split(mixed, 3, align=False)

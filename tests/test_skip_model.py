"""`SidewaysModel` with skips: trained, predicted, streamed, saved and exported."""

import numpy as np
import pytest
import tensorflow as tf

import sideways_tf as sw
from sideways_tf.errors import UserError

L = tf.keras.layers
SKIPS = [(1, 3), (2, 4, 3)]


def layers():
    return [L.Dense(3, activation="tanh", name=f"dense{i}") for i in range(1, 5)]


def model(skips=SKIPS, seed=1, **kwargs):
    tf.keras.utils.set_random_seed(seed)
    made = sw.SidewaysModel(layers(), skips=skips, seed=seed, devices="CPU:0", **kwargs)
    made.compile(tf.keras.optimizers.legacy.SGD(0.1), "mse", metrics=["mae"])
    return made


def clips(frames=12, seed=0):
    rng = np.random.default_rng(seed)
    return np.float32(rng.normal(size=[4, frames, 2])), np.float32(rng.normal(size=[4, 3]))


def test_both_engines_train_alike_and_predict_the_same_as_pipe_and_at_once():
    x, y = clips()
    weights, outputs = [], []
    for engine in ("pipelined", "time_shifted"):
        made = model(engine=engine)
        made.fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0)
        weights.append(made.get_weights()[2:])
        outputs.append(made.predict(x, verbose=0))
        assert np.isfinite(made.evaluate(x, y, batch_size=2, verbose=0)).all()
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)
    assert outputs[0].shape == (4, 12, 3)
    np.testing.assert_allclose(made.predict_stream(x[0]), outputs[1][0], rtol=1e-5, atol=1e-6)


def test_an_output_is_that_of_its_newest_frame_and_the_first_frame_stood_still_before():
    """Module 1 sees x, modules are sums: z_n by hand for 1 -> 3 with delay 1."""
    sums = [L.Dense(1, use_bias=False) for _ in range(3)]
    made = sw.SidewaysModel(sums, skips=[(1, 3)], devices="CPU:0")
    made.build([1, 4, 1])
    for module, theta in zip(made.modules, (2.0, 3.0, 5.0), strict=True):
        module.layer.set_weights([np.float32([[theta]])])
    x = np.float32([1, 10, 100, 1000])[None, :, None]
    pairs = ((1, 1), (1, 10), (10, 100), (100, 1000))  # Frames n - 1 and n.
    expected = [5 * (6 * before + 2 * now) for before, now in pairs]
    np.testing.assert_allclose(made.predict(x, verbose=0)[0, :, 0], expected)
    np.testing.assert_allclose(made.predict_stream(x[0])[:, 0], expected)


def test_a_stream_in_parts_is_the_stream_at_once():
    """L = 2 < K: what long delays reach back for rests in the model between two calls."""
    x, y = clips(16)
    y = np.repeat(y[:, None], 16, 1)
    whole, parts = model(update_every=2), model(update_every=2)
    for made in (whole, parts):
        made.build([4, 16, 2])
        made.restart(4)
    parts.set_weights(whole.get_weights())
    whole.advance(x, y)
    for start in (0, 6, 12):
        parts.advance(x[:, start : start + 6], y[:, start : start + 6])
    assert len(parts.modules[1].older) == 2
    for left, right in zip(whole.modules, parts.modules, strict=True):
        for a, b in zip(left.layer.get_weights(), right.layer.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_saved_model_is_the_same(tmp_path):
    x, y = clips()
    made = model()
    made.fit(x, y, batch_size=2, verbose=0)
    made.save(tmp_path / "model.keras")
    again = tf.keras.models.load_model(tmp_path / "model.keras")
    assert again.wiring == made.wiring
    np.testing.assert_allclose(again.predict(x, verbose=0), made.predict(x, verbose=0), rtol=1e-6)


@pytest.mark.parametrize("join", ["add", "concat"])
def test_aligned_skips_are_exported_as_a_keras_model(tmp_path, join):
    x, _ = clips()
    made = model([(1, 3), (2, 4)], join=join, align=True)
    made.build([4, 12, 2])
    made.export(str(tmp_path / "plain.keras"))
    plain = tf.keras.models.load_model(tmp_path / "plain.keras")
    found = plain.predict(x.reshape(-1, 2), verbose=0).reshape(4, 12, 3)
    np.testing.assert_allclose(found, made.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def test_what_cannot_be_had_is_refused_in_one_line():
    made = model()
    made.build([4, 12, 2])
    with pytest.raises(UserError, match="bring together .* frames: there is no plain Keras"):
        _ = made.network
    for kwargs, said in (
        ({"modules": 2}, "leave modules out"),
        ({"join": "mean"}, "join=mean: give one of add, concat"),
        ({"algorithm": "bp", "engine": "gpipe"}, "runs no skips"),
        ({"algorithm": "bp", "engine": "frame_by_frame"}, "use engine=batched"),
    ):
        with pytest.raises(UserError, match=said):
            sw.SidewaysModel(layers(), skips=SKIPS, **kwargs)
    short, made = clips(6), model()
    with pytest.raises(UserError, match="frames are too few"):
        made.fit(*short, verbose=0)


def test_diagnosis_compares_with_bp_on_the_unrolled_network():
    """On a frozen stream Sideways' pseudo-gradients are BP's: every cosine and ratio is 1."""
    x, y = clips()
    x = np.repeat(x[:, :1], 12, 1)
    made, found = model(), sw.Diagnosis(1)
    made.fit(x, y, batch_size=4, verbose=0, callbacks=[found])
    np.testing.assert_allclose(found.found.cosine, 1.0, rtol=1e-4)
    np.testing.assert_allclose(found.found.norm_ratio, 1.0, rtol=1e-3)

"""One iteration of a model: clipping after averaging, one optimizer for each module, statistics."""

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf import SidewaysModel
from sideways_tf.engines.windows import module_statistics

L = tf.keras.layers
LABELS = tf.constant([1])


def linear_model(first_weight, optimizer=None, device="CPU:0", engine="pipelined", every=0):
    """Two linear modules of two units, and clips of five frames."""
    layers = [L.Dense(2, use_bias=False) for _ in range(2)]
    model = SidewaysModel(layers, engine=engine, devices=device, update_every=every)
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits
    model.compile(optimizer or tf.keras.optimizers.legacy.SGD(1.0), loss, ["accuracy"])
    model.build([1, 5, 2])
    layers[0].set_weights([np.full((2, 2), first_weight, np.float32)])
    return model


@pytest.mark.parametrize("engine", ["pipelined", "time_shifted"])
def test_clipping_comes_after_averaging_and_the_statistics_before_clipping(engine):
    """Frames of opposite sign: their mean is small, though each alone would have been clipped."""
    clip = tf.constant([[[9e3, 0.0], [-9e3, 0.0], [9e3, 0.0], [-9e3, 0.0], [8e3, 0.0]]])
    optimizer = tf.keras.optimizers.legacy.SGD(1.0, clipvalue=1.0)
    model = linear_model(0.001, optimizer, engine=engine)
    first = model.modules[0].layer
    before = first.get_weights()[0]
    found = model.pseudo_gradients(clip, LABELS).pseudo_gradients
    model.train_on_batch(clip, LABELS)
    change = before - first.get_weights()[0]
    clipped = np.clip(found[0][0], -1, 1)
    assert np.abs(found[0][0]).max() > 10, "clipping was never put to the test"
    np.testing.assert_allclose(change, clipped, rtol=1e-5, atol=1e-7)
    for i, gradients in enumerate(found):
        flat = np.concatenate([g.numpy().ravel() for g in gradients])
        assert float(model.monitor.gradient_norm[i]) == pytest.approx(np.linalg.norm(flat))
        assert float(model.monitor.gradient_mean[i]) == pytest.approx(flat.mean(), abs=1e-4)


@pytest.mark.parametrize("every", [1, 2])
def test_statistics_of_a_stream_are_those_before_clipping_too(every):
    """Weights as good as still: the norm is that of the window's mean, the mean over updates."""
    clip = tf.random.stateless_normal([1, 5, 2], [1, 2]) * 100
    found = {}
    for value in (1e-6, 1e6):
        optimizer = tf.keras.optimizers.legacy.SGD(1e-9, clipvalue=value)
        model = linear_model(0.5, optimizer, every=every)
        model.modules[1].layer.set_weights([np.array([[1, 2], [3, 4]], np.float32)])
        model.train_on_batch(clip, LABELS)
        found[value] = model.monitor.gradient_norm.numpy()
    np.testing.assert_allclose(found[1e-6], found[1e6], rtol=1e-5)
    assert found[1e6].min() > 1e-3


def test_statistics_of_all_numbers_of_a_module():
    mean, norm = module_statistics([tf.constant([[3.0, 0.0]]), tf.constant([4.0])])
    assert float(mean) == pytest.approx(7 / 3)
    assert float(norm) == 5.0
    assert [float(x) for x in module_statistics([])] == [0.0, 0.0]


def test_every_module_has_its_own_optimizer_on_its_device():
    model = linear_model(0.1, "adam", device="CPU:3")
    model.train_on_batch(tf.ones([1, 5, 2]), LABELS)
    own = [each.variables for each in model.optimizers.each]
    moments = [v for variables in own for v in variables if v.shape.rank == 2]
    assert len(moments) == 4
    assert all(moment.device.endswith("CPU:3") for moment in moments)
    assert [int(each.iterations) for each in model.optimizers.each] == [1, 1]
    assert int(model.iteration) == int(model.optimizer.iterations) == 1


def test_an_optimizer_on_each_of_several_devices():
    model = linear_model(0.1, "adam", device="CPU:3,CPU:5")
    model.train_on_batch(tf.ones([1, 5, 2]), LABELS)
    for each, number in zip(model.optimizers.each, (3, 5), strict=True):
        moments = [v for v in each.variables if v.shape.rank == 2]
        assert len(moments) == 2
        assert all(moment.device.endswith(f"CPU:{number}") for moment in moments)


def test_accuracy_and_loss_of_the_frames_that_reach_the_last_module():
    model = linear_model(0.0)
    shown = model.train_on_batch(tf.ones([1, 5, 2]), LABELS, return_dict=True)
    assert shown["loss"] == pytest.approx(np.log(2))
    assert shown["accuracy"] == 0.0  # of two equal logits the first


def test_accuracy_judges_an_output_by_the_target_of_its_step():
    """Two modules: the first step shows no output, its label counts for nothing."""
    clip, labels = tf.ones([1, 5, 2]), tf.constant([[1, 0, 0, 0, 0]])
    shown = linear_model(0.0).train_on_batch(clip, labels, return_dict=True)
    assert shown["accuracy"] == 1.0


@pytest.mark.parametrize("engine", ["pipelined", "time_shifted"])
def test_masks_are_new_at_every_iteration(engine):
    """With weights that stand still, a clip's loss differs by its masks alone."""
    layers = [tf.keras.Sequential([L.Dense(16), L.Dropout(0.5)]), L.Dense(2)]
    model = SidewaysModel(layers, engine=engine, devices="CPU:0", seed=1)
    model.compile(tf.keras.optimizers.legacy.SGD(0.0), "mse")
    losses = []
    for _ in range(3):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(tf.ones([1, 5, 2]), tf.ones([1, 5, 2]))))
    assert len(set(losses)) == 3

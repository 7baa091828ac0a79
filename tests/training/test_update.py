"""One iteration: clipping after averaging, one optimizer for each module, statistics."""

import numpy as np
import pytest
import tensorflow as tf
from sideways_tf.training.update import Update, clip_by_value, module_statistics

from sideways_tf.engines import PipelinedSideways
from sideways_tf.learning_rate import WarmUpThenDrops
from sideways_tf.modules import SidewaysBlock
from sideways_tf.update_rules import make_optimizer


def make(name):
    constant = {"warmup_epochs": 0.0, "drop_epochs": ()}
    return make_optimizer(
        name, WarmUpThenDrops(1.0, 1, **constant), WarmUpThenDrops(0.0, 1, **constant)
    )


def sgd():
    return make("sgd")


def linear_network(first_weight, device=""):
    dense = [tf.keras.layers.Dense(2, use_bias=False) for _ in range(2)]
    modules = [SidewaysBlock(layer, device) for layer in dense]
    engine = PipelinedSideways(modules, tf.nn.sparse_softmax_cross_entropy_with_logits)
    engine.build(tf.TensorSpec([1, 2]))
    modules[0].layer.set_weights([np.full((2, 2), first_weight, np.float32)])
    return engine


def test_clipping_comes_after_averaging():
    """Frames of opposite sign: their mean is small, though each alone would have been clipped."""
    clip = tf.constant([[[100.0, 0.0]], [[-100.0, 0.0]], [[100.0, 0.0]], [[-100.0, 0.0]]])
    engine = linear_network(0.001)
    before = engine.modules[0].layer.get_weights()[0]
    gradients = engine(clip, tf.zeros([4, 1], tf.int32)).gradients
    update = Update(engine, sgd, clip_value=1.0)
    update(clip, tf.constant([0]))
    change = before - engine.modules[0].layer.get_weights()[0]
    np.testing.assert_allclose(change, np.clip(gradients[0][0], -1, 1), rtol=1e-5, atol=1e-7)


def test_clip_by_value():
    gradients = [tf.constant([-3.0, 0.5]), tf.constant([2.0])]
    assert [g.numpy().tolist() for g in clip_by_value(gradients, 1.0)] == [[-1.0, 0.5], [1.0]]
    assert [g.numpy().tolist() for g in clip_by_value(gradients, 0)] == [[-3.0, 0.5], [2.0]]


def test_statistics_of_all_numbers_of_a_module():
    mean, norm = module_statistics([[tf.constant([[3.0, 0.0]]), tf.constant([4.0])], []])
    assert mean.numpy() == pytest.approx([7 / 3, 0.0])
    assert norm.numpy().tolist() == [5.0, 0.0]


def test_every_module_has_its_own_optimizer_on_its_device():
    engine = linear_network(0.1, device="/device:CPU:3")

    update = Update(engine, lambda: make("adam"))
    update(tf.ones([4, 1, 2]), tf.constant([1]))
    moments = [v for optimizer in update.optimizers for v in optimizer.variables()[1:]]
    assert len(moments) == 4
    assert all(moment.device.endswith("CPU:3") for moment in moments)
    assert [int(optimizer.iterations) for optimizer in update.optimizers] == [1, 1]
    assert int(update.iteration) == 1


def test_many_iterations_are_traced_once():
    engine = linear_network(0.1)
    update = Update(engine, sgd)
    for _ in range(3):
        update(tf.ones([4, 1, 2]), tf.constant([1]))
    assert update.__call__.experimental_get_tracing_count() == 1


def test_accuracy_and_mean_loss():
    engine = linear_network(0.0)
    update = Update(engine, sgd, window=2)
    losses = [float(update(tf.ones([4, 1, 2]), tf.constant([1])).loss) for _ in range(2)]
    assert losses[0] == pytest.approx(np.log(2))
    assert float(update.mean_loss) == pytest.approx(np.mean(losses))

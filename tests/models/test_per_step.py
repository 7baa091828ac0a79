"""Batch norm and dropout by computation step, against Keras one step after the other."""

import numpy as np
import pytest
import tensorflow as tf
from sideways_tf.models.per_step import BatchNorm, Dropout, move

from sideways_tf.errors import UserError
from sideways_tf.modules.block import SidewaysBlock, build_modules
from sideways_tf.modules.step import Step

L = tf.keras.layers


def step(count, real=True, moving=None):
    return Step(count, tf.range(1, count + 1), tf.constant([5, 6]), tf.constant(real), moving or {})


@pytest.mark.parametrize("shape", [[4, 5, 6, 3], [4, 3]])
def test_batch_norm_equals_keras_step_by_step(shape):
    """float32: Keras' fused kernel takes the unbiased variance into the moving one, for images."""
    keras = L.BatchNormalization(momentum=0.6)
    ours = BatchNorm(momentum=0.6)
    ours.build([None, *shape[1:]])
    clip = tf.random.stateless_normal([3, *shape], [1, 2], 2.0, 3.0)
    with step(3, moving={v.ref(): v for v in ours.non_trainable_variables}).active() as now:
        out = ours(tf.reshape(clip, [3 * shape[0], *shape[1:]]), training=True)
    expected = [keras(x, training=True) for x in clip]
    # rtol: float32 moments in another order of summation.
    np.testing.assert_allclose(out, tf.concat(expected, 0), rtol=1e-4, atol=1e-5)
    for name in ("moving_mean", "moving_variance"):
        moved = now.moving[getattr(ours, name).ref()]
        np.testing.assert_allclose(moved, getattr(keras, name), rtol=1e-5)
        assert np.ptp(getattr(ours, name)) == 0, "only the engine assigns"
    for variable, value in ((v, now.moving[v.ref()]) for v in ours.non_trainable_variables):
        variable.assign(value)
    np.testing.assert_allclose(ours(clip[0]), keras(clip[0]), rtol=1e-4, atol=1e-5)


def test_statistics_do_not_move_while_the_module_is_empty():
    norm = BatchNorm()
    norm.build([None, 3])
    start = {v.ref(): tf.constant([7.0, 8.0, 9.0]) for v in norm.non_trainable_variables}
    with step(1, real=False, moving=dict(start)).active() as now:
        norm(tf.ones([4, 3]), training=True)
    for ref, value in start.items():
        np.testing.assert_array_equal(now.moving[ref], value)


def test_moving_statistics_in_closed_form_by_hand():
    """0.5: 8 -> (8 + 2) / 2 = 5 -> (5 + 4) / 2 = 4.5 -> (4.5 + 1) / 2 = 2.75."""
    values = tf.constant([[2.0], [4.0], [1.0]])
    assert move(tf.constant([8.0]), values, 0.5).numpy() == [2.75]


def test_dropout_keeps_the_mean_and_follows_seed_module_and_frame():
    x = tf.ones([3 * 2, 500])
    drop, other = Dropout(0.25), Dropout(0.25)
    with step(3).active():
        first, second = drop(x, training=True), other(x, training=True)
    with step(3).active():
        again = drop(x, training=True)
    np.testing.assert_array_equal(first, again)
    assert set(np.unique(first)) <= {0.0, np.float32(1 / 0.75)}
    # 3000 draws: the share kept has a standard deviation of 0.8 %.
    assert np.count_nonzero(first) / 3000 == pytest.approx(0.75, abs=0.04)
    assert (first.numpy() != second.numpy()).any(), "two layers of a module draw apart"
    rows = first.numpy()
    assert len({row.tobytes() for row in rows}) == 6
    np.testing.assert_array_equal(drop(x, training=False), x)


class Late(L.Layer):
    """Makes its batch norm only when it is built."""

    def build(self, _):
        self.norm = L.BatchNormalization()

    def call(self, h, training=False):
        return self.norm(h, training=training)


def functional():
    inner = tf.keras.Sequential([L.Dense(4), L.BatchNormalization(), L.Dropout(0.5)])
    inputs = tf.keras.Input([3])
    return tf.keras.Model(inputs, L.Dense(3)(inner(inputs)))


@pytest.mark.parametrize("make", [Late, functional, L.BatchNormalization])
def test_conversion_reaches_any_depth_and_changes_nothing_outside_engines(make):
    layer = make()
    x = tf.random.stateless_normal([5, 3], [1, 2])
    plain = tf.keras.Sequential([layer])
    before = plain(x)
    module = SidewaysBlock(layer)
    build_modules([module], tf.TensorSpec([5, 3]))
    kinds = [type(inner) for inner in module.submodules]
    assert BatchNorm in kinds
    assert L.BatchNormalization not in kinds
    assert L.Dropout not in kinds
    np.testing.assert_array_equal(plain(x), before)
    assert len(module.moving_statistics) == 2
    assert module.own_state == []


def test_another_axis_than_channels_is_left_for_the_engines_to_judge():
    module = SidewaysBlock(L.BatchNormalization(axis=1))
    build_modules([module], tf.TensorSpec([5, 3, 2]))
    assert len(module.own_state) == 2


def test_batch_norm_in_a_graph_of_its_own_is_refused():
    class Own(L.Layer):
        def __init__(self):
            super().__init__()
            self.norm = BatchNorm()

        @tf.function
        def call(self, x, training=False):
            return self.norm(x, training=training)

    layer = Own()
    layer(tf.ones([2, 3]))
    with pytest.raises(UserError, match="outside"), step(1).active():
        layer(tf.ones([2, 3]), training=True)

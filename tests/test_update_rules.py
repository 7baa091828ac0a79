"""The update rules against formulas written out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf import update_rules
from sideways_tf.learning_rate import WarmUpThenDrops
from sideways_tf.optimizers import make_moments

STEPS, PER_EPOCH = 60, 5
ALPHA, LAMBDA = 0.05, 0.02


def eta(n):
    """Warm-up over 2 epochs of 5 iterations, drops at epochs 4 and 7."""
    value = min(1.0, n / 10)
    return value / (1 if n < 20 else 10 if n < 35 else 100)


def rules():
    """name -> update(gradient, step from 1) in float64, state in closures (defaults of Keras)."""
    first, second = np.zeros(3), np.zeros(3)

    def adam(gradient, step):
        first[:] = 0.9 * first + 0.1 * gradient
        second[:] = 0.999 * second + 0.001 * gradient**2
        unbiased = np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        return unbiased * first / (np.sqrt(second) + 1e-7)

    return {"adam": adam, "sgd": lambda gradient, _: gradient, "momentum": None}


@pytest.fixture(params=["tensorflow-addons", "keras"])
def make_optimizer(request, monkeypatch):
    """`optimizers.make_optimizer` with the rules of tensorflow-addons, then with those on Keras."""
    if request.param == "keras":
        monkeypatch.setattr(update_rules, "RULES", (update_rules.AdamW, update_rules.SGDW))
    elif update_rules.tfa is None:
        pytest.skip("tensorflow-addons is not installed")
    return update_rules.make_optimizer


@pytest.mark.parametrize("name", ["adam", "sgd", "momentum"])
@pytest.mark.parametrize("decay", [0.0, LAMBDA])
def test_decoupled_decay_follows_the_schedule(make_optimizer, name, decay):
    """theta -= eta_t * (alpha * rule + lambda * theta), ref. 33; 1e-7 over 60 steps, float64."""
    schedule = {"warmup_epochs": 2.0, "drop_epochs": (4, 7)}
    optimizer = make_optimizer(
        name,
        WarmUpThenDrops(ALPHA, PER_EPOCH, **schedule),
        WarmUpThenDrops(decay, PER_EPOCH, **schedule),
        momentum=0.875,  # Keras keeps it in float32, where 0.9 is off by 2e-8.
    )
    rng = np.random.default_rng(0)
    theta = rng.normal(size=3)
    variable = tf.Variable(theta, dtype=tf.float64)
    make_moments(optimizer, [variable])

    @tf.function(autograph=False)
    def update(gradient):
        optimizer.apply_gradients([(gradient, variable)])

    rule, velocity = rules()[name], np.zeros(3)
    for n in range(STEPS):
        gradient = rng.normal(size=3)
        if name == "momentum":  # Keras puts the learning rate inside the velocity.
            velocity = 0.875 * velocity - ALPHA * eta(n) * gradient
            step = -velocity
        else:
            step = ALPHA * eta(n) * rule(gradient, n + 1)
        theta = theta - eta(n) * decay * theta - step
        update(tf.constant(gradient))
        np.testing.assert_allclose(variable, theta, rtol=0, atol=1e-7, err_msg=f"iteration {n}")


def test_decay_alone_moves_weights_where_the_gradient_is_zero(make_optimizer):
    constant = {"warmup_epochs": 0.0, "drop_epochs": ()}
    optimizer = make_optimizer(
        "adam", WarmUpThenDrops(ALPHA, 1, **constant), WarmUpThenDrops(0.5, 1, **constant)
    )
    variable = tf.Variable([8.0])
    optimizer.apply_gradients([(tf.constant([0.0]), variable)])
    np.testing.assert_array_equal(variable, [4.0])


def test_keras_own_decoupled_decay_is_the_same_rule(make_optimizer):
    """tf.keras.optimizers.AdamW multiplies lambda / alpha by the learning rate: lambda_t again."""
    schedule = {"warmup_epochs": 2.0, "drop_epochs": (4, 7)}
    rate = WarmUpThenDrops(ALPHA, PER_EPOCH, **schedule)
    ours = make_optimizer("adam", rate, WarmUpThenDrops(LAMBDA, PER_EPOCH, **schedule))
    keras = tf.keras.optimizers.AdamW(rate, weight_decay=LAMBDA / ALPHA, jit_compile=False)
    rng = np.random.default_rng(1)
    theta = rng.normal(size=3)
    here, there = tf.Variable(theta), tf.Variable(theta)
    for n in range(STEPS):
        gradient = tf.constant(rng.normal(size=3))
        ours.apply_gradients([(gradient, here)])
        keras.apply_gradients([(gradient, there)])
        # Keras rounds betas and learning rate to float32, each optimizer elsewhere.
        np.testing.assert_allclose(here, there, rtol=0, atol=1e-6, err_msg=f"iteration {n}")

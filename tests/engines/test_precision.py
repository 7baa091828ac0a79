"""Half precision: variables stay float32, pseudo-gradients are float32's up to rounding."""

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.engines import ENGINES, make_engine, per_frame
from sideways_tf.modules import SidewaysBlock
from sideways_tf.networks import simple_cnn
from sideways_tf.networks.vgg8 import hidden_linear, vgg_block
from sideways_tf.runs.make import layers_in
from tests import precision
from tests.precision import UNIT, bounds

KINDS = [(algorithm, engine) for algorithm, there in ENGINES.items() for engine in there]


def small_simple_cnn():
    return simple_cnn(5)[2:]


def small_vgg():
    """Batch norm, pooling, hidden linear modules."""
    classes = tf.keras.layers.Dense(5)
    return [
        vgg_block(3, 8, 1, True, 1),
        hidden_linear(16, 0.5, 2),
        hidden_linear(16, 0.0, 3),
        classes,
    ]


def episode(make, policy, algorithm, engine):
    with layers_in(policy):
        layers = make()
    modules = [SidewaysBlock(layer) for layer in layers]
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    run = make_engine(algorithm, modules, loss, engine)
    run.build(tf.TensorSpec([4, 8, 8, 3]))
    rng = np.random.default_rng(0)
    for module in modules:
        scale = [w.shape for w in module.layer.weights]
        weights = [
            rng.normal(size=s) * np.sqrt(2 / np.prod(s[:-1])) if len(s) > 1 else w
            for s, w in zip(scale, module.layer.get_weights(), strict=True)
        ]
        module.layer.set_weights(weights)
    clip = tf.random.stateless_uniform([8, 4, 8, 8, 3], [1, 2])
    found = run(clip, per_frame(tf.constant([0, 1, 2, 3]), 8), [1, 2])
    return found, modules


@pytest.mark.parametrize("policy", UNIT)
@pytest.mark.parametrize("make", [small_simple_cnn, small_vgg])
@pytest.mark.parametrize(("algorithm", "engine"), KINDS)
def test_half_precision_is_float32_up_to_its_rounding(algorithm, engine, make, policy):
    right, _ = episode(make, "float32", algorithm, engine)
    found, modules = episode(make, policy, algorithm, engine)
    assert found.loss.dtype == tf.float32
    limits = bounds(modules, UNIT[policy])
    np.testing.assert_allclose(found.loss, right.loss, rtol=limits[-1])
    for i, module in enumerate(modules):
        assert all(v.dtype == tf.float32 for v in module.trainable_variables)
        assert len(found.pseudo_gradients[i]) == len(right.pseudo_gradients[i])
        for left, wanted in zip(found.pseudo_gradients[i], right.pseudo_gradients[i], strict=True):
            assert left.dtype == tf.float32
            assert tf.norm(left - wanted) <= limits[i] * tf.norm(wanted), f"module {i + 1}"


@pytest.mark.once
def test_the_auto_encoder_in_full_width_too():
    """With 2816 numbers for each bias of the decoder, which bfloat16 itself cannot add up."""
    network = precision.NETWORKS["auto-encoder"]
    right, modules = precision.episode(*network, "float32")
    found, _ = precision.episode(*network, "mixed_bfloat16")
    for i, limit in enumerate(bounds(modules, UNIT["mixed_bfloat16"])):
        error = np.linalg.norm(found[i] - right[i])
        assert error <= limit * np.linalg.norm(right[i]), f"module {i + 1}"

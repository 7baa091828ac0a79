"""The auto-encoder's shapes, weights and sizes, by literal numbers."""

import pytest
import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.modules import SidewaysBlock
from sideways_tf.modules.block import build_modules
from sideways_tf.networks.autoencoder import autoencoder, check_size


def test_shapes_and_weights_of_the_paper():
    """Five convolutions of Simple-CNN, then one module of five that mirror them; one bias."""
    modules = [SidewaysBlock(layer) for layer in autoencoder()]
    specs = build_modules(modules, tf.TensorSpec([1, 240, 240, 3]))
    assert [tuple(out.shape[1:]) for _, out in specs] == [
        (120, 120, 32), (120, 120, 64), (60, 60, 64), (60, 60, 128), (30, 30, 256), (240, 240, 3),
    ]  # fmt: skip
    assert [[tuple(v.shape) for v in m.trainable_variables] for m in modules] == [
        [(3, 3, 3, 32)],
        [(3, 3, 32, 64)],
        [(3, 3, 64, 64)],
        [(3, 3, 64, 128)],
        [(3, 3, 128, 256)],
        [(3, 3, 128, 256), (3, 3, 64, 128), (3, 3, 64, 64), (3, 3, 32, 64), (3, 3, 3, 32), (3,)],
    ]


def test_the_last_layer_may_be_negative():
    """Linear: a ReLU there would leave dark pixels without a gradient."""
    modules = [SidewaysBlock(layer) for layer in autoencoder()]
    build_modules(modules, tf.TensorSpec([1, 16, 16, 3]))
    h = tf.random.stateless_normal([4, 16, 16, 3], seed=[1, 2])
    for module in modules:
        h = module(h)
    assert float(tf.reduce_min(h)) < 0 < float(tf.reduce_max(h))


@pytest.mark.parametrize("size", [8, 48, 112, 240])
def test_sizes_that_come_back(size):
    check_size(size)
    modules = [SidewaysBlock(layer) for layer in autoencoder()]
    specs = build_modules(modules, tf.TensorSpec([1, size, size, 3]))
    assert specs[-1][1].shape == [1, size, size, 3]


@pytest.mark.parametrize(("size", "said"), [(50, "56 pixels.*48 or 56"), (7, "8 pixels.*as 8$")])
def test_sizes_that_do_not_come_back_are_refused_with_those_that_do(size, said):
    with pytest.raises(UserError, match=f"--size={size}.*{said}"):
        check_size(size)
    modules = [SidewaysBlock(layer) for layer in autoencoder()]
    specs = build_modules(modules, tf.TensorSpec([1, size, size, 3]))
    assert specs[-1][1].shape[1] != size

"""VGG-8: shapes, parameters and layers of section 4.3 and semantics; all engines take it."""

import pytest
import tensorflow as tf

from sideways_tf.engines import (
    BatchedBackprop,
    FrameByFrameBackprop,
    GPipeBackprop,
    PipelinedSideways,
    TimeShiftedSideways,
)
from sideways_tf.modules import SidewaysBlock
from sideways_tf.modules.block import build_modules
from sideways_tf.networks import vgg8
from sideways_tf.plan.costs import costs
from tests.engines.networks import assert_episodes_equal

FRAME = tf.TensorSpec([1, 112, 112, 3], tf.float32)
# Kernels, gamma and beta of batch norm; a bias only in the classifier.
PARAMETERS = [
    7 * 7 * 3 * 96 + 2 * 96,
    5 * 5 * 96 * 256 + 2 * 256,
    3 * 3 * 256 * 512 + 2 * 512,
    3 * 3 * 512 * 512 + 2 * 512,
    3 * 3 * 512 * 512 + 2 * 512,
    3 * 3 * 512 * 4096,
    4096 * 2048,
    2048 * 101 + 101,
]


@pytest.fixture(scope="module")
def built():
    modules = [SidewaysBlock(layer) for layer in vgg8(101, dropout=0.9)]
    return modules, build_modules(modules, FRAME)


def test_shapes(built):
    shapes = [tuple(h_out.shape[1:]) for _, h_out in built[1]]
    assert shapes == [
        (28, 28, 96), (7, 7, 256), (7, 7, 512), (7, 7, 512), (3, 3, 512), (4096,), (2048,), (101,)
    ]  # fmt: skip


def test_parameters(built):
    counted = [
        sum(v.shape.num_elements() for v in module.trainable_variables) for module in built[0]
    ]
    assert counted == PARAMETERS
    biases = [v.name for module in built[0] for v in module.trainable_variables if "bias" in v.name]
    assert len(biases) == 1


def test_norm_stands_between_convolution_and_relu():
    for layer in vgg8(5)[:5]:
        kinds = [type(inner).__name__ for inner in layer.layers]
        assert kinds[:3] == ["Conv2D", "BatchNormalization", "ReLU"]


def test_dropout_only_where_asked():
    def rates(dropout):
        inner = [x for layer in vgg8(5, dropout) for x in layer.submodules]
        return [x.rate for x in inner if isinstance(x, tf.keras.layers.Dropout)]

    assert rates(0.0) == []
    assert rates(0.9) == [0.9, 0.9]


def test_operations_allow_at_most_four_times():
    """Convolution 2 is a quarter of all work: 14 * 14 * 256 * (5 * 5 * 96) multiply-adds."""
    work = [cost.forward + cost.backward for cost in costs(vgg8(101), FRAME)]
    assert work[1] == pytest.approx(3 * 2 * 14 * 14 * 256 * 5 * 5 * 96, rel=0.01)
    assert sum(work) / max(work) == pytest.approx(4.0, abs=0.05)
    assert [cost.parameter_bytes for cost in costs(vgg8(101), FRAME)] == [4 * n for n in PARAMETERS]


class TestEngines:
    """The real layers, float64, narrow: with batch norm and dropout all pairs of engines agree."""

    @staticmethod
    def episode(engine, frames=15, seed=7, devices=1):
        tf.keras.utils.set_random_seed(seed)
        before = tf.keras.backend.floatx()
        tf.keras.backend.set_floatx("float64")
        try:
            layers = [narrow(layer) for layer in vgg8(4, dropout=0.5)]
        finally:
            tf.keras.backend.set_floatx(before)
        names = [f"/device:CPU:{i * devices // 8}" for i in range(8)]
        modules = [SidewaysBlock(x, name) for x, name in zip(layers, names, strict=True)]
        clip = tf.random.stateless_uniform([frames, 2, 32, 32, 3], [1, 2], dtype=tf.float64)
        targets = tf.zeros([frames, 2], tf.int32)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits
        return engine(modules, loss)(clip, targets, tf.constant([3, 4]))

    def test_sideways(self):
        left, right = (self.episode(e) for e in (PipelinedSideways, TimeShiftedSideways))
        # Batch norm over two examples of one pixel each amplifies rounding.
        assert_episodes_equal(left, right, rtol=1e-6, atol=1e-9)

    @pytest.mark.parametrize("devices", [2, 4, 8])
    def test_sideways_on_devices(self, devices):
        one, many = (self.episode(PipelinedSideways, devices=n) for n in (1, devices))
        assert_episodes_equal(one, many)

    def test_bp(self):
        first, *others = (
            self.episode(e, frames=3)
            for e in (FrameByFrameBackprop, BatchedBackprop, GPipeBackprop)
        )
        for other in others:
            assert_episodes_equal(first, other, rtol=1e-6, atol=1e-9)


def narrow(layer):
    """A copy with a 32nd of the channels."""
    if isinstance(layer, tf.keras.Sequential):
        return tf.keras.Sequential([narrow(inner) for inner in layer.layers])
    config = layer.get_config()
    config["dtype"] = "float64"
    for key in ("filters", "units"):
        if config.get(key, 0) >= 96:
            config[key] //= 32
    return type(layer).from_config(config)

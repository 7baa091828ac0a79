"""What is known of the networks without TensorFlow is what they are."""

import math

import pytest

from sideways_tf import limits
from sideways_tf.networks import autoencoder, simple_cnn, vgg8
from sideways_tf.networks.simple_cnn import STRIDES


@pytest.mark.parametrize(
    ("name", "layers"),
    [("simple_cnn", simple_cnn(2)), ("vgg8", vgg8(2)), ("autoencoder", autoencoder())],
)
def test_depths(name, layers):
    assert limits.DEPTHS[name] == len(layers)


def test_the_side_that_an_autoencoder_gives_back():
    assert math.prod(STRIDES) == limits.SIDE_UNIT

"""A network is a list of D modules."""

from sideways_tf.models.block import SidewaysBlock
from sideways_tf.models.simple_cnn import simple_cnn
from sideways_tf.models.vgg8 import vgg8

__all__ = ["SidewaysBlock", "simple_cnn", "vgg8"]

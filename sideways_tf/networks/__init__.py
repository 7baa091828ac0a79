"""The paper's networks: lists of D layers, one a module; and what skips they may have."""

from sideways_tf.networks.autoencoder import autoencoder
from sideways_tf.networks.simple_cnn import simple_cnn
from sideways_tf.networks.skips import skip_arguments
from sideways_tf.networks.vgg8 import vgg8

__all__ = ["autoencoder", "simple_cnn", "skip_arguments", "vgg8"]

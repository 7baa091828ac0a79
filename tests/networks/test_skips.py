"""Simple-CNN and VGG-8 with skips: what their modules read."""

import tensorflow as tf

from sideways_tf.modules import SidewaysBlock, build_modules, make_wiring
from sideways_tf.networks import simple_cnn, skip_arguments, vgg8


def read(model, layers, size):
    wiring = make_wiring(len(layers), **skip_arguments(model))
    modules = [SidewaysBlock(layer) for layer in layers]
    specs = build_modules(modules, tf.TensorSpec([1, size, size, 3]), wiring)
    return wiring, [h_in.shape[1:].as_list() for h_in, _ in specs]


def test_simple_cnn_reads_three_frames():
    wiring, inputs = read("simple_cnn_skip", simple_cnn(8, batch_norm=True), 48)
    assert inputs[2] == [24, 24, 64 + 32]
    assert inputs[4] == [12, 12, 128 + 64]
    assert (wiring.history, wiring.cycle) == (2, 11)


def test_vgg8_reads_two_frames():
    wiring, inputs = read("vgg8_skip", vgg8(8), 32)
    assert inputs[3] == [2, 2, 512 + 256]
    assert inputs[4] == [2, 2, 512 + 512]
    assert (wiring.history, wiring.cycle) == (1, 15)


def test_the_plain_networks_have_none():
    assert skip_arguments("simple_cnn") == skip_arguments("vgg8") == {}

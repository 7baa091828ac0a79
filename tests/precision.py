"""What half precision does to the pseudo-gradients of the paper's networks, in full width.

    python tests/precision.py [mixed_bfloat16] [mixed_float16]

For each module: the relative error (L2) of its pseudo-gradient against float32, in units of the
format's unit roundoff u (2^-11 of float16, 2^-8 of bfloat16), and beside it what to expect at most.
A pseudo-gradient of module i has gone through R_i roundings: for every module the cast of its
kernel and its output on the way up, and as many on the way down to module i. Each is of u at most,
relative to the whole. And where an activation lies so near to zero that its r_j roundings carry it
across, a ReLU's mask turns over, and a whole number comes or goes: of normal activations this are
0.8 r_j u of all, and as they are of the whole in squares,

    bound_i = R_i u + sqrt(0.8 u sum over the ReLUs of modules j >= i of r_j)

Kernels that sum in the format itself round more often than that: it is left out. (Gradients of
biases in bfloat16 do not: see modules/biases.py.)

Small frames, B = 2, K = 2D - 1.
"""

import sys

import sideways_tf  # noqa: F401 - before TensorFlow: it says which Keras

# isort: split

import numpy as np
import tensorflow as tf

from sideways_tf.engines import LossScale, make_engine
from sideways_tf.modules import SidewaysBlock
from sideways_tf.networks import autoencoder, simple_cnn, vgg8
from sideways_tf.networks.autoencoder import pixel_error
from sideways_tf.runs.make import layers_in

L = tf.keras.layers
UNIT = {"mixed_float16": 2.0**-11, "mixed_bfloat16": 2.0**-8}
LOGITS = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
NETWORKS = {
    "Simple-CNN": (lambda: simple_cnn(5), 16, LOGITS),
    "VGG-8": (lambda: vgg8(5), 32, LOGITS),
    "auto-encoder": (autoencoder, 16, pixel_error),
}


def episode(make, size, loss, policy):
    """Pseudo-gradients by module, one array each; the roundings of each module."""
    tf.keras.utils.set_random_seed(1)
    with layers_in(policy):
        layers = make()
    scale = LossScale(2.0**7) if policy == "mixed_float16" else None
    modules = [SidewaysBlock(layer) for layer in layers]
    run = make_engine("sideways", modules, loss, "time_shifted", loss_scale=scale)
    frames = 2 * len(layers) - 1
    clip = tf.random.stateless_uniform([frames, 2, size, size, 3], [1, 2])
    targets = clip if loss is pixel_error else tf.tile([[0, 1]], [frames, 1])
    found = run(clip, targets, [1, 2]).pseudo_gradients
    return [np.concatenate([g.numpy().ravel() for g in each]) for each in found], modules


def bounds(modules, unit):
    """See the head of the file; one a module."""
    # The cast of each kernel and the output that it gives; a norm's output is one more.
    rounds = [
        sum(2 if v.shape.rank > 1 else 0 for v in module.trainable_variables)
        + sum(isinstance(part, L.BatchNormalization) for part in parts(module))
        for module in modules
    ]
    masks = [sum(map(is_mask, parts(module))) for module in modules]
    turned = [count * sum(rounds[: j + 1]) for j, count in enumerate(masks)]
    return [
        unit * (sum(rounds) + sum(rounds[i:])) + (0.8 * unit * sum(turned[i:])) ** 0.5
        for i in range(len(modules))
    ]


def is_mask(part):
    """Whether it lets through some of its inputs and not others, by what they are."""
    relu = getattr(part, "activation", None) is tf.keras.activations.relu
    return relu or isinstance(part, L.ReLU | L.MaxPooling2D)


def parts(module):
    return [part for part in module.layer._flatten_layers() if part is not module.layer] or [
        module.layer
    ]


def main():
    for policy in sys.argv[1:] or UNIT:
        for name, (make, size, loss) in NETWORKS.items():
            right, modules = episode(make, size, loss, "float32")
            found, _ = episode(make, size, loss, policy)
            errors = [
                np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(found, right, strict=True)
            ]
            unit = UNIT[policy]
            print(f"{policy}, {name}", flush=True)
            print("  error / u  ", *(f"{error / unit:6.1f}" for error in errors))
            print("  bound / u  ", *(f"{bound / unit:6.1f}" for bound in bounds(modules, unit)))


if __name__ == "__main__":
    main()

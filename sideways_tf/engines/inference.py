"""Depth-parallel inference (the paper's ref. 9): frames go through the modules as a pipe.

At every step each module works, on its own device, on the newest activation from below; none waits
for another. Weights stand still, so that outputs are exact, D - 1 steps late. D = 3, K = 4, the
frame each module works on ("." is none, what it computes is dropped):

    step       1   2   3   4   5   6
    module 3   .   .   1   2   3   4
    module 2   .   1   2   3   4   .
    module 1   1   2   3   4   .   .

K frames take K + D - 1 steps of the slowest module; one after the other they take K times all of
them. On one device there is nothing to gain.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sideways_tf.modules.block import SidewaysBlock

# How far lower modules may run ahead of the last one; see `Sideways.steps_at_once`.
STEPS_AT_ONCE = 4


def infer(modules: Sequence[SidewaysBlock], frames: tf.Tensor) -> tf.Tensor:
    """The outputs of all frames, as the network is tested; in a graph.

    Args:
      modules: built, for frames of this size.
      frames: [K, B, ...], K and B of any number.

    Returns:
      [K, B, ...], h_D of each frame.
    """
    depth, count = len(modules), tf.shape(frames)[0]
    shapes = [module.facts.h_out.shape[1:] for module in modules]
    kinds = [module.facts.h_out.dtype for module in modules]

    def one_step(t: tf.Tensor, pipe: list, outputs: tf.TensorArray) -> tuple:
        with tf.device(modules[0].device):
            x = frames[tf.minimum(t, count - 1)]
        inputs = [x, *pipe[:-1]]
        emitted = [m(h, training=False) for m, h in zip(modules, inputs, strict=True)]
        # Before a frame has come through, the first place is written too early.
        return t + 1, emitted, outputs.write(tf.maximum(t - depth + 1, 0), emitted[-1])

    pipe = []
    for module, shape, kind in zip(modules, shapes, kinds, strict=True):
        with tf.device(module.device):
            zeros = tf.zeros(tf.concat([tf.shape(frames)[1:2], shape], 0), kind)
            pipe.append(tf.ensure_shape(zeros, [frames.shape[1], *shape]))
    room = tf.TensorArray(kinds[-1], count, element_shape=pipe[-1].shape)
    _, _, outputs = tf.while_loop(
        lambda t, *_: t < count + depth - 1,
        one_step,
        (tf.constant(0), pipe, room),
        parallel_iterations=STEPS_AT_ONCE,
    )
    return outputs.stack()

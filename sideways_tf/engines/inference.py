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

With skips that bring frames together there is an output for each frame, the newest in it. What it
needs from before the clip is its first frame, as if that had stood still.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sideways_tf.modules.block import SidewaysBlock
from sideways_tf.modules.join import joined
from sideways_tf.modules.wiring import Edge, Wiring

# How far lower modules may run ahead of the last one; see `Sideways.steps_at_once`.
STEPS_AT_ONCE = 4


def infer(modules: Sequence[SidewaysBlock], frames: tf.Tensor, wiring: Wiring) -> tf.Tensor:
    """The outputs of all frames, as the network is tested; in a graph.

    Args:
      modules: built, for frames of this size.
      frames: [K, B, ...], K and B of any number.
      wiring: which module reads which.

    Returns:
      [K, B, ...], h_D of each frame.
    """
    count, late = tf.shape(frames)[0], wiring.latency + wiring.history
    shapes = [module.facts.h_out.shape[1:] for module in modules]
    kinds = [module.facts.h_out.dtype for module in modules]

    def one_step(t: tf.Tensor, pipe: list, outputs: tf.TensorArray) -> tuple:
        with tf.device(modules[0].device):
            inputs = [frames[tf.clip_by_value(t - wiring.history, 0, count - 1)]]
        for i, module in enumerate(modules[1:], 2):
            read = [pipe[edge.source - 1][edge.delay - 1] for edge in wiring.into(i)]
            with tf.device(module.device):
                inputs.append(joined(read, wiring.join))
        emitted = [m(h, training=False) for m, h in zip(modules, inputs, strict=True)]
        after = [[h, *older[:-1]] for h, older in zip(emitted, pipe, strict=True)]
        # Before a frame has come through, the first place is written too early.
        return t + 1, after, outputs.write(tf.maximum(t - late, 0), emitted[-1])

    pipe = []  # Of each module what it emitted, the newest first.
    for i, (module, shape, kind) in enumerate(zip(modules, shapes, kinds, strict=True), 1):
        with tf.device(module.device):
            zeros = tf.zeros(tf.concat([tf.shape(frames)[1:2], shape], 0), kind)
            zeros = tf.ensure_shape(zeros, [frames.shape[1], *shape])
            pipe.append([zeros] * (1 + wiring.older(i)))
    room = tf.TensorArray(kinds[-1], count, element_shape=pipe[-1][0].shape)
    _, _, outputs = tf.while_loop(
        lambda t, *_: t < count + late,
        one_step,
        (tf.constant(0), pipe, room),
        parallel_iterations=STEPS_AT_ONCE,
    )
    return outputs.stack()


def infer_at_once(modules: Sequence[SidewaysBlock], clips: tf.Tensor, wiring: Wiring) -> tf.Tensor:
    """As `infer`, all frames at once, for clips [B, K, ...] -> [B, K, ...]."""
    held = [clips[:, :1]] * wiring.history
    clips = tf.concat([*held, clips], 1) if held else clips
    batch, frames = tf.shape(clips)[0], tf.shape(clips)[1]
    given: list[tf.Tensor] = []

    def read(edge: Edge) -> tf.Tensor:
        """What `edge` brings, [B, T, ...], from the target's first step to its last needed one."""
        start = wiring.first_forward(edge.target) - edge.delay - wiring.first_forward(edge.source)
        late = wiring.first_forward(edge.target) + wiring.shortest(edge.target)
        count = frames + wiring.latency - late + 1
        h = given[edge.source - 1]
        return h if late == wiring.latency + 1 and not start else h[:, start : start + count]

    for i, module in enumerate(modules, 1):
        h = joined([read(edge) for edge in wiring.into(i)], wiring.join) if i > 1 else clips
        folded = tf.reshape(h, tf.concat([[-1], tf.shape(h)[2:]], 0))
        out = module(tf.ensure_shape(folded, [None, *h.shape[2:]]), training=False)
        shape = tf.concat([[batch, tf.shape(h)[1]], tf.shape(out)[1:]], 0)
        given.append(tf.ensure_shape(tf.reshape(out, shape), [None, None, *out.shape[1:]]))
    return given[-1]

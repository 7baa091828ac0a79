"""Streams of any layers, L < K, slowly: one step and one module after the other, eagerly.

No loop of TensorFlow's, no mask, no sum that is carried on: tables by (module, step), as in
`stream_reference.py`, for any Keras layers and SGD.
"""

import tensorflow as tf


class Stream:
    """Args:
    layers: D plain Keras layers, built; their weights are moved.
    loss: (targets [B, ...], outputs [B, ...]) -> [B, ...].
    clip, targets: [K, B, ...]; every: L; rate: of SGD.
    run: (i, frame, x) -> H_i(x).
    """

    def __init__(self, layers, loss, clip, targets, every, rate, run):
        self.layers, self.loss, self.clip, self.targets = layers, loss, clip, targets
        self.every, self.rate, self.run = every, rate, run
        self.depth, self.steps = len(layers), len(clip)
        self.learnt = [{} for _ in layers]

    def forward(self, i, frame, x):
        """h_i, and the tape that saw it."""
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            return self.run(i, frame, x), tape

    def back(self, i, x, out, tape, above, t):
        """Keep what module i learns at step t; what it sends down."""
        options = {"output_gradients": above, "unconnected_gradients": "zero"}
        variables = self.layers[i - 1].trainable_variables
        self.learnt[i - 1][t] = tape.gradient(out, variables, **options)
        return tape.gradient(out, x, **options)

    def loss_gradient(self, out, t):
        with tf.GradientTape() as tape:
            tape.watch(out)
            value = tf.reduce_mean(self.loss(self.targets[t - 1], out))
        return tape.gradient(value, out)

    def update(self, i, t):
        """Module i after step t, if that is the last one of its window at which it is due."""
        window = (t - 1) // self.every
        later = range(t + 1, min((window + 1) * self.every, self.steps) + 1)
        if t not in self.learnt[i - 1] or any(self.is_due(i, s) for s in later):
            return
        rows = [g for s, g in self.learnt[i - 1].items() if (s - 1) // self.every == window]
        variables = self.layers[i - 1].trainable_variables
        for variable, column in zip(variables, zip(*rows, strict=True), strict=True):
            variable.assign_sub(self.rate * sum(column) / len(rows))


class SidewaysStream(Stream):
    def is_due(self, i, t):
        return t >= 2 * self.depth - i

    def learn(self):
        """All steps."""
        emitted, below = {}, {}
        for t in range(1, self.steps + 1):
            now, down = {}, {}
            for i in range(1, self.depth + 1):
                x = self.clip[t - 1] if i == 1 else emitted.get(i - 1)
                if x is None:
                    continue
                now[i], tape = self.forward(i, t - i + 1, x)
                above = self.loss_gradient(now[i], t) if i == self.depth else below.get(i + 1)
                if above is not None:
                    down[i] = self.back(i, x, now[i], tape, above, t)
            for i in range(1, self.depth + 1):
                self.update(i, t)
            emitted, below = now, down


class BlockedStream(Stream):
    def is_due(self, i, t):
        return (t - (2 * self.depth - i)) % (2 * self.depth - 1) == 0

    def learn(self):
        """Frames 1, 2D, 4D - 1, ...: each by all modules before any is updated by it."""
        depth, cycle = self.depth, 2 * self.depth - 1
        for start in range(1, self.steps + 1, cycle):
            h, passes = self.clip[start - 1], []
            for i in range(1, depth + 1):
                x = h
                h, tape = self.forward(i, start, x)
                passes.append((x, h, tape))
            if start + depth - 1 > self.steps:
                return
            above = self.loss_gradient(h, start + depth - 1)
            for i in range(depth, 0, -1):
                step = start + 2 * depth - 1 - i
                if step > self.steps:
                    break
                above = self.back(i, *passes[i - 1], above, step)
            for step in range(start, start + cycle):
                for i in range(1, depth + 1):
                    self.update(i, step)

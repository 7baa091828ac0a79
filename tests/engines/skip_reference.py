"""Sideways and BP with skips, slowly: a recursion over (module, step) that knows no first steps.

Written apart from the engines and their `Wiring`: what has not come yet is None, and None is handed
on; explicit Jacobians; BP is one tape over the whole unrolled network.
"""

import functools

import tensorflow as tf

from tests.engines.reference import product


class SkipReference:
    """Args:
    layers: D plain Keras layers, built, float64.
    loss: (targets [B, ...], outputs [B, ...]) -> [B, ...].
    clip, targets: [K, B, ...].
    skips: (source, target, delay).
    join: "add" or "concat".
    """

    def __init__(self, layers, loss, clip, targets, skips, join):
        self.layers, self.loss, self.join = layers, loss, join
        self.clip, self.targets = clip, targets
        self.depth, self.steps = len(layers), clip.shape[0]
        self.edges = [(i, i + 1, 1) for i in range(1, self.depth)] + sorted(skips)

    def parts(self, i, t):
        """What module i reads at step t: [(edge, value)]."""
        return [(e, self.h(e[0], t - e[2])) for e in self.edges if e[1] == i]

    @functools.cache  # noqa: B019, it lives for one test
    def h_in(self, i, t):
        """The input of module i at step t; None: not all of it is there."""
        if i == 1:
            return self.clip[t - 1] if 1 <= t <= self.steps else None
        values = [value for _, value in self.parts(i, t)]
        if any(value is None for value in values):
            return None
        return sum(values) if self.join == "add" else tf.concat(values, -1)

    @functools.cache  # noqa: B019, it lives for one test
    def h(self, i, t):
        """What module i emits at step t, or None."""
        x = self.h_in(i, t) if t >= 1 else None
        return None if x is None else self.layers[i - 1](x, training=True)

    @functools.cache  # noqa: B019, it lives for one test
    def jacobians(self, i, t):
        x, layer = self.h_in(i, t), self.layers[i - 1]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            out = layer(x, training=True)
        kwargs = {"experimental_use_pfor": False, "unconnected_gradients": "zero"}
        return tape.jacobian(out, x, **kwargs), [
            tape.jacobian(out, v, **kwargs) for v in layer.trainable_variables
        ]

    @functools.cache  # noqa: B019, it lives for one test
    def sent(self, i, t):
        """{edge: the pseudo-gradient that module i sends back along it at step t}, or None."""
        arriving = self.arriving(i, t)
        if arriving is None:
            return None
        below, found, start = product(arriving, self.jacobians(i, t)[0]), {}, 0
        for edge, value in self.parts(i, t):
            width = value.shape[-1]
            found[edge] = below if self.join == "add" else below[..., start : start + width]
            start += width
        return found

    def arriving(self, i, t):
        """What module i takes from its readers at step t: None until all of them have sent."""
        if t < 1 or self.h_in(i, t) is None:
            return None
        if i == self.depth:
            h = self.h(i, t)
            with tf.GradientTape() as tape:
                tape.watch(h)
                value = tf.reduce_mean(self.loss(self.targets[t - 1], h))
            return tape.gradient(value, h)
        readers = [(e, self.sent(e[1], t - 1)) for e in self.edges if e[0] == i]
        if any(sent is None for _, sent in readers):
            return None
        return sum(sent[e] for e, sent in readers)

    def sideways(self):
        """Loss, outputs, and for each module the mean over the steps at which it learns."""
        means = []
        for i in range(1, self.depth + 1):
            terms = []
            for t in range(1, self.steps + 1):
                arriving = self.arriving(i, t)
                if arriving is not None:
                    terms.append([product(arriving, j) for j in self.jacobians(i, t)[1]])
            means.append([sum(column) / len(terms) for column in zip(*terms, strict=True)])
        shown = [t for t in range(1, self.steps + 1) if self.h(self.depth, t) is not None]
        losses = [
            tf.reduce_mean(self.loss(self.targets[t - 1], self.h(self.depth, t))) for t in shown
        ]
        outputs = tf.stack([self.h(self.depth, t) for t in shown])
        return sum(losses) / len(losses), outputs, means

    def newest(self, i, t):
        """The newest frame in what module i emits at step t."""
        return t if i == 1 else max(self.newest(e[0], t - e[2]) for e in self.edges if e[1] == i)

    def backprop(self):
        """The same for BP on the network unrolled over the clip."""
        weights = [layer.trainable_variables for layer in self.layers]
        losses, outputs = [], []
        with tf.GradientTape() as tape:
            for t in range(1, self.steps + 8 * self.depth):
                out = self.h(self.depth, t)
                if out is not None:
                    target = self.targets[self.newest(self.depth, t) - 1]
                    losses.append(tf.reduce_mean(self.loss(target, out)))
                    outputs.append(out)
            loss = sum(losses) / len(losses)
        return loss, tf.stack(outputs), tape.gradient(loss, weights)

"""Sideways and BP as the paper's equations say it, slowly: explicit Jacobians, no loop of steps.

Written apart from the engines on purpose: frames are computed one by one with plain Keras layers,
and eqs. 3 and 4 are a recursion over (module, step), not a schedule.
"""

import functools

import tensorflow as tf


class Reference:
    """Args:
    layers: D plain Keras layers, built, float64.
    loss: (targets [B, ...], outputs [B, ...]) -> [B, ...].
    clip: [K, B, ...]; targets: [K, B, ...].
    """

    def __init__(self, layers, loss, clip, targets):
        self.layers, self.loss = layers, loss
        self.clip, self.targets = clip, targets
        self.depth, self.steps = len(layers), clip.shape[0]

    @functools.cache  # noqa: B019, it lives for one test
    def h(self, i, tau):
        """h_i^tau."""
        if i == 0:
            return self.clip[tau - 1]
        return self.run(i, tau, self.h(i - 1, tau))

    def run(self, i, tau, x):
        """H_i(x), at frame tau."""
        return self.layers[i - 1](x, training=True)

    @functools.cache  # noqa: B019, it lives for one test
    def jacobians(self, i, tau):
        """J_h H_i and J_theta H_i at h_{i-1}^tau, as full tensors."""
        x, variables = self.h(i - 1, tau), self.layers[i - 1].trainable_variables
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            out = self.run(i, tau, x)
        kwargs = {"experimental_use_pfor": False, "unconnected_gradients": "zero"}
        return tape.jacobian(out, x, **kwargs), [tape.jacobian(out, v, **kwargs) for v in variables]

    def loss_gradient(self, tau, t):
        """The gradient of L(h_D^tau, y^t), averaged over examples, at h_D^tau."""
        h = self.h(self.depth, tau)
        with tf.GradientTape() as tape:
            tape.watch(h)
            value = tf.reduce_mean(self.loss(self.targets[t - 1], h))
        return tape.gradient(value, h)

    @functools.cache  # noqa: B019, it lives for one test
    def emitted(self, i, t):
        """The pseudo-gradient of h_{i-1} that module i emits at step t (eq. 4); None: none yet."""
        arriving = self.arriving(i, t)
        return None if arriving is None else product(arriving, self.jacobians(i, t - i + 1)[0])

    def arriving(self, i, t):
        """What module i takes from above at step t."""
        if t - i + 1 < 1:
            return None
        if i == self.depth:
            return self.loss_gradient(t - i + 1, t)
        return self.emitted(i + 1, t - 1)

    def sideways(self):
        """Loss, outputs, and for each module the mean of eq. 3 over the steps that have one."""
        means = []
        for i in range(1, self.depth + 1):
            terms = []
            for t in range(1, self.steps + 1):
                arriving = self.arriving(i, t)
                if arriving is not None:
                    weights = self.jacobians(i, t - i + 1)[1]
                    terms.append([product(arriving, j) for j in weights])
            means.append([sum(column) / len(terms) for column in zip(*terms, strict=True)])
        pairs = [(t - self.depth + 1, t) for t in range(self.depth, self.steps + 1)]
        return self.mean_loss(pairs), self.outputs(pairs), means

    def backprop(self):
        """The same for BP, eqs. 1 and 2."""
        means = [[0.0] * len(layer.trainable_variables) for layer in self.layers]
        for tau in range(1, self.steps + 1):
            above = self.loss_gradient(tau, tau)
            for i in range(self.depth, 0, -1):
                below, weights = self.jacobians(i, tau)
                for n, jacobian in enumerate(weights):
                    means[i - 1][n] += product(above, jacobian) / self.steps
                above = product(above, below)
        pairs = [(tau, tau) for tau in range(1, self.steps + 1)]
        return self.mean_loss(pairs), self.outputs(pairs), means

    def mean_loss(self, pairs):
        values = [
            tf.reduce_mean(self.loss(self.targets[t - 1], self.h(self.depth, tau)))
            for tau, t in pairs
        ]
        return sum(values) / len(values)

    def outputs(self, pairs):
        return tf.stack([self.h(self.depth, tau) for tau, _ in pairs])


class ByProducts(Reference):
    """The same without Jacobians as tensors, which take a call for each of their rows."""

    @functools.cache  # noqa: B019, it lives for one test
    def jacobians(self, i, tau):
        """Functions that multiply them from the left."""
        x, variables = self.h(i - 1, tau), self.layers[i - 1].trainable_variables
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            out = self.run(i, tau, x)

        def of(source):
            return lambda above: tf.convert_to_tensor(
                tape.gradient(out, source, above, unconnected_gradients="zero")
            )

        return of(x), [of(variable) for variable in variables]


def product(vector, jacobian):
    """vector [B, ...] times jacobian [B, ..., *shape]: shape."""
    if callable(jacobian):
        return jacobian(vector)
    return tf.tensordot(vector, jacobian, axes=vector.shape.rank)

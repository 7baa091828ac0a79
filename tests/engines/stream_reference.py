"""Training with L < K, written out by hand in NumPy: tables over (module, step), no pipe.

Modules are h_i = tanh(h_{i-1} W_i + b_i), the loss is the mean of (y - h_D)^2 over examples and
numbers, the update rule is Adam with decoupled weight decay.
"""

import numpy as np

# Keras keeps Adam's coefficients in float32, whatever the type of the weights.
BETA_1, BETA_2 = float(np.float32(0.9)), float(np.float32(0.999))
EPSILON = 1e-7


class Adam:
    """Of one module."""

    def __init__(self, rate, decay, beta_1=BETA_1, ahead=0.0):
        self.rate, self.decay, self.count = rate, decay, 0
        self.beta_1, self.ahead, self.plain = beta_1, ahead, None
        self.m, self.v = [0.0, 0.0], [0.0, 0.0]

    def update(self, weights, gradients):
        """Weights [W, b] after one more update, `ahead` times that update farther on."""
        before = weights if self.plain is None else self.plain
        self.plain = self.rule(before, gradients)
        return [w + self.ahead * (w - b) for w, b in zip(self.plain, before, strict=True)]

    def rule(self, weights, gradients):
        self.count += 1
        step = self.rate * np.sqrt(1 - BETA_2**self.count) / (1 - self.beta_1**self.count)
        after = []
        for n, (w, g) in enumerate(zip(weights, gradients, strict=True)):
            self.m[n] = self.beta_1 * self.m[n] + (1 - self.beta_1) * g
            self.v[n] = BETA_2 * self.v[n] + (1 - BETA_2) * g**2
            w = w - self.decay * w
            after.append(w - step * self.m[n] / (np.sqrt(self.v[n]) + EPSILON))
        return after


def forward(weights, h):
    return np.tanh(h @ weights[0] + weights[1])


def backward(weights, h_in, h_out, above):
    """[dW, db], and the product with the Jacobian of the input."""
    d = above * (1 - h_out**2)
    return [h_in.T @ d, d.sum(0)], d @ weights[0].T


def loss_gradient(h, y):
    return 2 * (h - y) / h.size


class StreamReference:
    """Every table is indexed [module i][step t], both from 1.

    h: what module i emits; emitted: the pseudo-gradient of its input; due: gamma_i^t; gradients:
    of its weights; weights: after step t; adams: the optimizers, as they are at the end.

    every: L. A window is L steps, from step 1 on; the clip's end ends the last one. Module i is
    updated at the last step of a window at which it is due, by the mean over those of the window.
    """

    def __init__(
        self, weights, frames, targets, rate, decay, clip, every=1,
        beta_1=BETA_1, divisor=lambda delay: 1.0, ahead=lambda delay: 0.0,
    ):  # fmt: skip
        self.depth, self.steps = len(weights), len(frames)
        self.frames, self.targets, self.clip, self.every = frames, targets, clip, every
        self.updated = {i: {} for i in range(1, self.depth + 1)}
        self.weights = {i: {0: w} for i, w in enumerate(weights, 1)}
        tables = ({}, {}, {}, {})
        self.h, self.emitted, self.due, self.gradients = tables
        for i in range(1, self.depth + 1):
            for table in tables:
                table[i] = {}
        delays = {i: 2 * (self.depth - i) for i in range(1, self.depth + 1)}
        self.adams = {
            i: Adam(rate / divisor(late), decay, beta_1, ahead(late)) for i, late in delays.items()
        }

    def learn(self, i, t):
        """Module i's weights after step t."""
        weights = self.weights[i][t - 1]
        first = (t - 1) // self.every * self.every + 1
        window = range(first, min(first + self.every - 1, self.steps) + 1)
        due = [s for s in window if self.is_due(i, s)]
        self.updated[i][t] = bool(due) and t == due[-1]
        if self.updated[i][t]:
            rows = zip(*(self.gradients[i][s] for s in due), strict=True)
            mean = [sum(column) / len(due) for column in rows]
            clipped = [np.clip(g, -self.clip, self.clip) for g in mean]
            weights = self.adams[i].update(weights, clipped)
        self.weights[i][t] = weights


class SidewaysReference(StreamReference):
    """Eqs. 3 and 4 with weights that move in between."""

    def is_due(self, i, t):
        """gamma_i^t."""
        return t >= 2 * self.depth - i

    def run(self):
        for t in range(1, self.steps + 1):
            for i in range(1, self.depth + 1):
                self.compute(i, t)
            for i in range(1, self.depth + 1):
                self.learn(i, t)
        return self

    def compute(self, i, t):
        frame = self.frames[t - 1]
        h_in = frame if i == 1 else self.h[i - 1].get(t - 1, 0 * self.width_in(i, frame))
        weights = self.weights[i][t - 1]
        out = self.h[i][t] = forward(weights, h_in)
        self.due[i][t] = self.is_due(i, t)
        if not self.due[i][t]:
            self.gradients[i][t] = [0 * w for w in weights]
            self.emitted[i][t] = 0 * h_in
            return
        if i == self.depth:
            above = loss_gradient(out, self.targets[t - 1])
        else:
            above = self.emitted[i + 1][t - 1]
        self.gradients[i][t], self.emitted[i][t] = backward(weights, h_in, out, above)

    def width_in(self, i, frame):
        return np.zeros([len(frame), self.weights[i][0][0].shape[0]])


class BlockedReference(StreamReference):
    """Plain BP on frames 1, 2D, 4D - 1, ...; module i's share of it at steps of its own.

    Whatever L is: no module is updated between its two passes of one frame.
    """

    def is_due(self, i, t):
        """Once in an update cycle."""
        cycle = 2 * self.depth - 1
        return (t - 1) % cycle == 2 * self.depth - 1 - i

    def run(self):
        depth, cycle = self.depth, 2 * self.depth - 1
        for i in range(1, depth + 1):
            width = self.weights[i][0][0].shape[1]
            self.h[i][0] = np.zeros([len(self.frames[0]), width])
            self.emitted[i][0] = 0 * (self.frames[0] @ self.weights[1][0][0] if i > 1 else 0)
            if i > 1:
                self.emitted[i][0] = np.zeros_like(self.h[i - 1][0])
        for t in range(1, self.steps + 1):
            start = (t - 1) // cycle * cycle + 1
            if t == start:
                outputs, gradients, emitted = self.backprop(start)
            for i in range(1, depth + 1):
                self.due[i][t] = self.is_due(i, t)
                zeros = [0 * w for w in self.weights[i][0]]
                self.gradients[i][t] = gradients[i] if self.due[i][t] else zeros
                self.emitted[i][t] = emitted[i] if self.due[i][t] else self.emitted[i][t - 1]
                self.h[i][t] = outputs[i] if t == start + i - 1 else self.h[i][t - 1]
                self.learn(i, t)
        return self

    def backprop(self, t):
        """Of frame t, with the weights after step t - 1; the target is that of step t + D - 1."""
        weights = {i: self.weights[i][t - 1] for i in range(1, self.depth + 1)}
        h = {0: self.frames[t - 1]}
        for i in range(1, self.depth + 1):
            h[i] = forward(weights[i], h[i - 1])
        gradients, emitted = {}, {}
        due = t + self.depth - 2
        above = loss_gradient(h[self.depth], self.targets[due]) if due < self.steps else 0.0
        for i in range(self.depth, 0, -1):
            gradients[i], emitted[i] = backward(weights[i], h[i - 1], h[i], above)
            above = emitted[i]
        return h, gradients, emitted

"""Any list of Keras layers runs rightly in every engine, or is refused by name: never wrong.

Most cases are layers that would break an engine which folds frames, recomputes a pass, or carries
its own idea of what a layer is. The judge is `reference.py`, or Keras itself.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf import SidewaysModel
from sideways_tf.engines import ENGINES, BlockedBackprop, make_engine
from sideways_tf.errors import UserError
from sideways_tf.modules import SidewaysBlock
from tests.engines.networks import assert_episodes_equal, random_clip, squared_error
from tests.engines.reference import Reference

L = tf.keras.layers
F = {"dtype": "float64"}
KINDS = [(algorithm, engine) for algorithm, there in ENGINES.items() for engine in there]
STEPWISE = {"pipelined", "frame_by_frame"}
CLIP, TARGETS = random_clip([6, 3, 4], 4)
each_engine = pytest.mark.parametrize(("algorithm", "engine"), KINDS)


def dense(**kwargs):
    return L.Dense(4, **F, **kwargs)


def sequential(*layers):
    return tf.keras.Sequential(layers)


def episode(layers, algorithm, engine, loss=squared_error, clip=CLIP, targets=TARGETS, **kwargs):
    """Of layers made with weights by one seed."""
    tf.keras.utils.set_random_seed(3)
    made = layers()
    run = make_engine(algorithm, [SidewaysBlock(x) for x in made], loss, engine, **kwargs)
    return run(clip, targets, [1, 2]), made


@functools.cache
def expected(layers, algorithm, loss=squared_error, single=False):
    """The same by the slow reference; for layers without randomness."""
    tf.keras.utils.set_random_seed(3)
    targets = tf.cast(tf.cast(TARGETS, tf.float32), tf.float64) if single else TARGETS
    made, h = layers(), CLIP[0]
    for layer in made:
        h = layer(h)
    reference = Reference(made, loss, CLIP, targets)
    return reference.sideways() if algorithm == "sideways" else reference.backprop()


def refused(words, *args, **kwargs):
    with pytest.raises(UserError, match=words) as caught:
        episode(*args, **kwargs)
    assert "\n" not in str(caught.value)


class Cell(L.Layer):
    """A recurrent cell, for one step."""

    def __init__(self, cell):
        super().__init__(**F)
        self.cell = cell

    def call(self, x):
        return self.cell(x, [tf.zeros_like(x)] * len(tf.nest.flatten(self.cell.state_size)))[0]


class Table(L.Layer):
    """Reads its weight sparsely."""

    def build(self, _):
        self.table = self.add_weight("table", (8, 4))

    def call(self, x):
        rows = tf.cast(tf.clip_by_value(x[:, 0] * 2 + 4, 0, 7), tf.int32)
        return tf.gather(self.table, rows) + x


def residual():
    x = tf.keras.Input([4], **F)
    return tf.keras.Model(x, L.Add(**F)([x, dense(activation="tanh")(x)]))


LAYERS = {
    "GRUCell": lambda: [dense(), Cell(L.GRUCell(4, **F)), dense()],
    "LSTMCell": lambda: [dense(), Cell(L.LSTMCell(4, **F)), dense()],
    "LSTM": lambda: [sequential(L.Reshape((2, 2), **F), L.LSTM(4, **F)), dense()],
    "gather": lambda: [dense(), Table(**F), dense()],
    "residual": lambda: [residual(), residual(), dense()],
    "root": lambda: [sequential(L.Lambda(lambda x: tf.sqrt(tf.abs(x)), **F), dense()), dense()],
    "logarithm": lambda: [L.Lambda(lambda x: tf.math.log(tf.abs(x)), **F), dense(), dense()],
    "no weights first": lambda: [L.Activation("tanh", **F), dense(), dense()],
    "a layer in two places": lambda: [
        (d := dense(activation="tanh")) and sequential(d, d),
        dense(),
    ],
}


@pytest.mark.parametrize("case", LAYERS)
@each_engine
def test_layers_of_every_kind_are_right_in_every_engine(case, algorithm, engine):
    found, _ = episode(LAYERS[case], algorithm, engine)
    assert_episodes_equal(found, expected(LAYERS[case], algorithm))


@each_engine
def test_whole_numbers_as_frames_and_as_activations(algorithm, engine):
    words = tf.random.stateless_uniform([6, 3, 5], [1, 2], 0, 9, tf.int32)
    mean = L.GlobalAveragePooling1D
    runs = [
        lambda: [sequential(L.Embedding(9, 4, **F), mean(**F)), dense(), dense()],
        lambda: [
            L.Lambda(lambda x: x % 5, dtype="int32"),
            sequential(L.Embedding(9, 4, **F), mean(**F)),
            dense(),
        ],
    ]
    for layers in runs:
        found, made = episode(layers, algorithm, engine, clip=words)
        vectors = {id(each): each for layer in made for each in layer._flatten_layers()}
        table = next(e for e in vectors.values() if isinstance(e, L.Embedding)).embeddings
        first = 1 if len(made[0].weights) == 0 else 0
        # The judge takes gradients of inputs, which words have not: vectors instead.
        tokens = words % 5 if first else words
        clip = tf.reduce_mean(tf.gather(table, tokens), 2)
        if algorithm == "bp":
            rest = Reference(made[first + 1 :], squared_error, clip, TARGETS).backprop()
            assert_episodes_equal(
                (found.loss, found.outputs, found.pseudo_gradients[first + 1 :]), rest
            )
        assert np.abs(found.pseudo_gradients[first][0]).max() > 0
    late = lambda: [dense(), L.Lambda(lambda x: tf.cast(x, tf.int32), **F), dense()]  # noqa: E731
    refused(r"module 2 \(lambda.*whole numbers.*freeze", late, algorithm, engine)


def plain():
    return [dense(activation="tanh"), dense(), dense()]


def contrastive(y, h):
    """Each example against the others of its batch."""
    logits = tf.matmul(h, y, transpose_b=True)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(tf.shape(h)[0]), logits)


def shared_scale(y, h):
    """Normalised by a sum over the batch."""
    return (y - h) ** 2 / tf.reduce_sum(h**2)


@pytest.mark.parametrize("loss", [contrastive, shared_scale])
@each_engine
def test_a_loss_may_mix_the_examples_of_a_batch(loss, algorithm, engine):
    found, _ = episode(plain, algorithm, engine, loss)
    assert_episodes_equal(found, expected(plain, algorithm, loss))


@each_engine
def test_a_loss_of_another_type_and_a_target_of_another_type(algorithm, engine):
    huber, _ = episode(plain, algorithm, engine, tf.keras.losses.Huber())
    right = expected(plain, algorithm, tf.keras.losses.huber)
    # Keras computes Huber's in float32, whatever the type of its inputs.
    assert_episodes_equal(huber, right, rtol=1e-5, atol=1e-6)
    rounded = tf.cast(TARGETS, tf.float32)
    found, _ = episode(plain, algorithm, engine, targets=rounded)
    assert_episodes_equal(found, expected(plain, algorithm, single=True))


@each_engine
def test_a_loss_that_does_not_take_its_targets_is_refused(algorithm, engine):
    layers = lambda: [dense(), dense()]  # noqa: E731
    words = r"the loss takes no targets float64 \(3, 4\) with outputs float64 \(3, 4\)"
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits
    refused(words, layers, algorithm, engine, loss)


@each_engine
def test_regularizers_of_weights_are_added_once_an_update(algorithm, engine):
    def layers(rate):
        return [dense(kernel_regularizer=tf.keras.regularizers.L2(rate)), dense(), dense()]

    plain, _ = episode(lambda: layers(0.0), algorithm, engine)
    found, made = episode(lambda: layers(10.0), algorithm, engine)
    kernel = made[0].kernel.numpy()
    np.testing.assert_allclose(found.loss - plain.loss, 10 * (kernel**2).sum(), rtol=1e-12)
    change = found.pseudo_gradients[0][0] - plain.pseudo_gradients[0][0]
    np.testing.assert_allclose(change, 20 * kernel, rtol=1e-9, atol=1e-12)
    for left, right in zip(found.pseudo_gradients[1:], plain.pseudo_gradients[1:], strict=True):
        np.testing.assert_array_equal(left[0], right[0])


class Added(L.Layer):
    """Adds to the loss by itself."""

    def call(self, x):
        self.add_loss(tf.reduce_mean(x**2))
        return x


@each_engine
def test_what_layers_add_to_the_loss_counts_at_each_step_or_is_refused(algorithm, engine):
    """In BP it is Keras' gradient of the mean over frames."""
    regular = tf.keras.regularizers.L2(0.5)
    layers = lambda: [dense(activity_regularizer=regular), Added(**F), dense()]  # noqa: E731
    if engine in ("batched", "time_shifted"):
        refused(r"module 1 \(dense.*adds to the loss.*pipelined", layers, algorithm, engine)
        return
    found, made = episode(layers, algorithm, engine)
    if algorithm == "sideways":
        # Module D's own is exact; what module 1 adds is exact too, at each of its due steps.
        whole, _ = episode(lambda: [sequential(*layers())], "bp", "frame_by_frame")
        assert len(whole.pseudo_gradients[0]) == 4
        without, _ = episode(lambda: [dense(), L.Activation("linear", **F), dense()],
                             algorithm, engine)  # fmt: skip
        change = found.pseudo_gradients[0][0] - without.pseudo_gradients[0][0]
        gammas, weights = (CLIP[4:], CLIP[2:]), made[0].kernel
        with tf.GradientTape() as tape:
            own = [0.5 * tf.reduce_sum(made[0](x) ** 2) / 3 for x in gammas[0]]
            mean = sum(own) / 2
        theta = tape.gradient(mean, weights)
        # Module 2's share travels down: at step t module 1 meets it of frame t - 2.
        with tf.GradientTape() as tape:
            pairs = zip(CLIP[4:], CLIP[2:4], strict=True)
            dots = [
                tf.reduce_sum(tf.stop_gradient(2 * made[0](held) / 12) * made[0](met))
                for met, held in pairs
            ]
            shared = sum(dots) / 2
        theta += tape.gradient(shared, weights)
        np.testing.assert_allclose(change, theta, rtol=1e-9, atol=1e-12)
        return
    weights = [w for layer in made for w in layer.trainable_weights]
    with tf.GradientTape() as tape:
        terms = []
        for x, y in zip(CLIP, TARGETS, strict=True):
            first = made[0](x)
            terms.append(tf.reduce_mean((y - made[2](first)) ** 2) + tf.reduce_mean(first**2))
            terms[-1] += 0.5 * tf.reduce_sum(first**2) / 3
        mean = sum(terms) / 6
    right = tape.gradient(mean, weights)
    np.testing.assert_allclose(found.loss, mean, rtol=1e-12)
    flat = [g for module in found.pseudo_gradients for g in module]
    for left, wanted in zip(flat, right, strict=True):
        np.testing.assert_allclose(left, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("algorithm", "engine"), [KINDS[0], KINDS[3], KINDS[4]])
def test_one_module_is_keras_fit_with_all_that_is_added_to_the_loss(algorithm, engine):
    """Loss reported and weights after four updates; each term moves both. B = 3, K = 4."""
    stepwise = engine not in ("batched", "time_shifted")
    regular = tf.keras.regularizers

    def network():
        tf.keras.utils.set_random_seed(3)
        activity = regular.L2(0.3) if stepwise else None
        first = L.Dense(
            4, "tanh", kernel_regularizer=regular.L2(0.1), activity_regularizer=activity
        )
        added = [Added()] if stepwise else []
        last = L.Dense(2, bias_regularizer=regular.L1(0.05))
        return tf.keras.Sequential([tf.keras.Input([5]), first, *added, last])

    clips = np.random.default_rng(0).normal(size=[3, 4, 5]).astype(np.float32)
    targets = np.random.default_rng(1).normal(size=[3, 4, 2]).astype(np.float32)
    keras, optimizer = network(), tf.keras.optimizers.Adam
    keras.compile(optimizer(0.05), "mse")
    frames = clips.reshape(12, 5), targets.reshape(12, 2)
    right = keras.fit(*frames, batch_size=12, epochs=4, shuffle=False, verbose=0)
    model = SidewaysModel(network(), 1, algorithm=algorithm, engine=engine, devices="CPU:0")
    model.compile(optimizer(0.05), "mse")
    found = model.fit(clips, targets, batch_size=3, epochs=4, shuffle=False, verbose=0)
    # float32, sums in another order.
    np.testing.assert_allclose(found.history["loss"], right.history["loss"], rtol=1e-5)
    for left, wanted in zip(model.network.weights, keras.weights, strict=True):
        np.testing.assert_allclose(left, wanted, rtol=1e-4, atol=1e-6)


class Previous(L.Layer):
    def call(self, x):
        return x + tf.concat([tf.zeros_like(x[:1]), x[:-1]], 0)


class Next(L.Layer):
    """Nothing of it goes back, and nothing goes from a frame to a later one."""

    def call(self, x):
        return x + tf.stop_gradient(tf.concat([x[1:], tf.zeros_like(x[:1])], 0))


class Cumulative(L.Layer):
    def call(self, x):
        return tf.cumsum(x, 0)


class Weak(L.Layer):
    def call(self, x):
        return x + 5e-4 * tf.reduce_sum(x, 0, keepdims=True)


@tf.custom_gradient
def normalized(x):
    return tf.identity(x), lambda d: d / tf.norm(d)


class NormalizedGradient(L.Layer):
    def call(self, x):
        return normalized(x)


class WeakBackward(L.Layer):
    def call(self, x):
        @tf.custom_gradient
        def weak(x):
            return tf.identity(x), lambda d: d + 1e-3 * tf.reduce_sum(d, 0, keepdims=True)

        return weak(x)


class SquashedWeightGradient(L.Layer):
    """Only the gradient of its weight depends on the whole batch."""

    def build(self, _):
        self.w = self.add_weight("w", [4])

    def call(self, x):
        @tf.custom_gradient
        def scaled(x, w):
            return x * w, lambda d: (d * w, tf.tanh(tf.reduce_sum(d * x, 0)))

        return scaled(x, tf.convert_to_tensor(self.w))


class SharedOutGradient(L.Layer):
    """Linear, and blind to the others: it only divides by how many they are."""

    def call(self, x):
        @tf.custom_gradient
        def shared(x):
            return tf.identity(x), lambda d: d / tf.cast(tf.shape(d)[0], d.dtype)

        return shared(x)


class ByPlace(L.Layer):
    def call(self, x):
        return x * tf.cast(tf.range(1, tf.shape(x)[0] + 1), x.dtype)[:, tf.newaxis]


class WeightGradientByPlace(L.Layer):
    """Later examples count more in the gradient of its weight."""

    def build(self, _):
        self.w = self.add_weight("w", [4])

    def call(self, x):
        @tf.custom_gradient
        def placed(x, w):
            place = tf.cast(tf.range(tf.shape(x)[0]), x.dtype)[:, tf.newaxis]
            return x * w, lambda d: (d * w, tf.reduce_sum(place * d * x, 0))

        return placed(x, tf.convert_to_tensor(self.w))


MIXING = [
    Previous, Next, Cumulative, Weak, NormalizedGradient, WeakBackward, SquashedWeightGradient,
    SharedOutGradient, ByPlace, WeightGradientByPlace,
]  # fmt: skip


@pytest.mark.parametrize("layer", MIXING)
def test_modules_that_mix_examples_anyhow_are_refused_where_frames_are_folded(layer):
    for algorithm, engine in (("sideways", "time_shifted"), ("bp", "batched")):
        layers = lambda: [dense(activation="tanh"), layer(**F), dense()]  # noqa: E731
        refused(r"module 2 \(.*mixes the examples of a batch", layers, algorithm, engine)


def test_modules_that_mix_examples_run_frame_by_frame():
    layers = lambda: [dense(activation="tanh"), Weak(**F), dense()]  # noqa: E731
    for algorithm, engine in KINDS:
        if engine not in ("batched", "time_shifted"):
            found, _ = episode(layers, algorithm, engine)
            assert_episodes_equal(found, expected(layers, algorithm))


@each_engine
@pytest.mark.parametrize("hidden", [False, True])
def test_one_weight_in_two_modules_is_refused(algorithm, engine, hidden):
    class Transposed(L.Layer):
        def __init__(self, other):
            super().__init__(**F)
            if not hidden:
                self.kernel = other.kernel
            self.of = lambda: other.kernel

        def call(self, x):
            return tf.matmul(x, self.of(), transpose_b=True)

    def layers():
        first = dense()
        first.build([None, 4])
        return [first, Transposed(first), dense()]

    refused(r"the weight '.*kernel.*' is used in modules 1 and 2", layers, algorithm, engine)


@each_engine
def test_a_layer_frozen_after_the_first_episode(algorithm, engine):
    tf.keras.utils.set_random_seed(1)
    layers = [dense(use_bias=False) for _ in range(3)]
    run = make_engine(algorithm, [SidewaysBlock(x) for x in layers], squared_error, engine)
    before = run(CLIP, TARGETS, [0, 0]).pseudo_gradients
    layers[1].trainable = False
    frozen = run(CLIP, TARGETS, [0, 0]).pseudo_gradients
    assert [len(gradients) for gradients in frozen] == [1, 0, 1]
    for i in (0, 2):
        np.testing.assert_array_equal(frozen[i][0], before[i][0])
    layers[1].trainable = True
    again = run(CLIP, TARGETS, [0, 0]).pseudo_gradients
    np.testing.assert_array_equal(again[1][0], before[1][0])


def twice():
    """One batch norm, called twice."""
    x, norm = tf.keras.Input([4], **F), L.BatchNormalization(momentum=0.75, **F)
    return tf.keras.Model(x, norm(dense(activation="tanh")(norm(x))))


@each_engine
def test_a_batch_norm_called_twice_takes_its_statistics_in_the_order_of_its_calls(
    algorithm, engine
):
    _, (found, _) = episode(lambda: [twice(), dense()], algorithm, engine)
    tf.keras.utils.set_random_seed(3)
    keras = twice()
    for frame in CLIP:
        keras(frame, training=True)
    for left, right in zip(found.non_trainable_weights, keras.non_trainable_weights, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-10)


class Counter(L.Layer):
    """Moves a variable at each call; Keras does not know of it where it is `hidden`."""

    def __init__(self, hidden=False):
        super().__init__(**F)
        count = tf.Variable(0.0, trainable=False, **F)
        if not hidden:
            self.count = count
        self.of = lambda: count

    def call(self, x):
        self.of().assign_add(1.0)
        return x


@pytest.mark.parametrize("hidden", [False, True])
@each_engine
def test_state_of_a_layers_own_moves_once_a_real_frame_or_is_refused(algorithm, engine, hidden):
    layers = lambda: [dense(), Counter(hidden), dense()]  # noqa: E731
    if engine not in STEPWISE:
        refused(r"module 2 \(counter.*assigns state of its own", layers, algorithm, engine)
        return
    _, made = episode(layers, algorithm, engine)
    assert float(made[1].of()) == (5 if algorithm == "sideways" else 6)


@each_engine
def test_a_stateful_rnn_goes_from_frame_to_frame_as_in_keras_or_is_refused(algorithm, engine):
    def layers():
        return [sequential(L.Reshape((2, 2), **F), L.LSTM(4, stateful=True, **F)), dense()]

    if engine not in STEPWISE:
        refused(r"module 1 .*assigns state of its own", layers, algorithm, engine)
        return
    found, made = episode(layers, algorithm, engine)
    tf.keras.utils.set_random_seed(3)
    plain = layers()
    outputs = [plain[1](plain[0](x)) for x in CLIP]
    np.testing.assert_allclose(found.outputs, outputs[: len(found.outputs)], rtol=1e-10)
    states = (made[0].layers[-1].states, plain[0].layers[-1].states)
    for left, right in zip(*states, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-10)


@pytest.mark.once
@each_engine
def test_frames_of_another_size_later(algorithm, engine):
    def layers():
        head = sequential(L.GlobalAveragePooling2D(**F), dense())
        return [L.Conv2D(4, 3, padding="same", **F), head]

    clips = [random_clip([4, 3, side, side, 2], 4) for side in (3, 4, 3)]
    tf.keras.utils.set_random_seed(3)
    made = layers()
    run = make_engine(algorithm, [SidewaysBlock(x) for x in made], squared_error, engine)
    for clip, targets in clips:
        found = run(clip, targets, [1, 2])
        reference = Reference(made, squared_error, clip, targets)
        right = reference.sideways() if algorithm == "sideways" else reference.backprop()
        assert_episodes_equal(found, right)


NOISES = {
    "GaussianNoise": lambda: L.GaussianNoise(1.0, **F),
    "SpatialDropout": lambda: sequential(
        L.Reshape((2, 2), **F), L.SpatialDropout1D(0.5, **F), L.Flatten(**F)
    ),
    "noise shape": lambda: L.Dropout(0.5, noise_shape=(None, 1), **F),
    "recurrent dropout": lambda: sequential(
        L.Reshape((2, 2), **F), L.GRU(4, dropout=0.5, recurrent_dropout=0.5, **F)
    ),
    "cell": lambda: Cell(L.LSTMCell(4, dropout=0.5, recurrent_dropout=0.5, **F)),
}


@pytest.mark.parametrize("masks", ["episode", "step"])
@pytest.mark.parametrize("case", NOISES)
def test_every_engine_draws_the_same_noise(case, masks):
    layers = lambda: [dense(), sequential(NOISES[case](), dense()), dense()]  # noqa: E731
    for algorithm in ENGINES:
        first, *others = (
            episode(layers, algorithm, engine, masks=masks)[0] for engine in ENGINES[algorithm]
        )
        for other in others:
            assert_episodes_equal(first, other)


@pytest.mark.parametrize("case", ["GaussianNoise", "recurrent dropout"])
def test_a_blocked_pass_sees_the_same_noise_when_it_is_computed_again(case):
    """On a stream: the gradient is that of the output shown, by finite differences."""
    tf.keras.utils.set_random_seed(3)
    layers = [dense(), sequential(NOISES[case](), dense()), dense()]
    run = BlockedBackprop([SidewaysBlock(x) for x in layers], squared_error)
    frames = tf.repeat(CLIP[:1], 5, 0)
    targets = tf.repeat(TARGETS[:1], 5, 0)
    found = run(frames, targets, [1, 2])
    bias, shift = layers[0].bias, 1e-5
    for n in range(2):
        losses = []
        for sign in (1, -1):
            bias.assign(sign * shift * np.eye(4)[n])
            outputs = run(frames, targets, [1, 2]).outputs
            losses.append(float(tf.reduce_mean((outputs[0] - targets[0]) ** 2)))
        slope = (losses[0] - losses[1]) / (2 * shift)
        assert float(found.pseudo_gradients[0][1][n]) == pytest.approx(slope, rel=1e-5, abs=1e-8)


class Own(L.Layer):
    """Assigns inside a function of its own, which no engine can follow."""

    def build(self, _):
        self.n = self.add_weight("n", [], trainable=False)
        self.move = tf.function(lambda: self.n.assign_add(1.0))

    def call(self, x):
        self.move()
        return x


@each_engine
def test_state_where_no_engine_reaches_it_is_refused(algorithm, engine):
    layers = lambda: [dense(), Own(**F), dense()]  # noqa: E731
    refused(r"'.*n:0' (is assigned inside a tf.function|where)", layers, algorithm, engine)


def test_a_module_of_one_batch_size_is_refused_where_frames_are_folded():
    fixed = lambda: [dense(), L.Lambda(lambda x: x + tf.ones([3, 4], tf.float64), **F)]  # noqa: E731
    refused(r"module 2 \(lambda.*another size", fixed, "sideways", "time_shifted")


def test_masks_before_a_batch_norm():
    """A mask that leaves examples out of the statistics: as Keras does, or refused."""

    def layers():
        norm = L.BatchNormalization(momentum=0.75)
        return [sequential(L.Reshape((2, 2)), L.Masking(), norm, L.GRU(4)), L.Dense(4)]

    clip = tf.cast(tf.concat([CLIP[:, :2] * 0, CLIP[:, 2:]], 1), tf.float32)
    targets = tf.cast(TARGETS, tf.float32)
    for algorithm, engine in (*KINDS[:2], KINDS[-1]):
        if engine == "time_shifted":
            refused("mixes the examples", layers, algorithm, engine, clip=clip, targets=targets)
            continue
        found, made = episode(layers, algorithm, engine, clip=clip, targets=targets)
        tf.keras.utils.set_random_seed(3)
        plain = layers()
        outputs = [plain[1](plain[0](x, training=True)) for x in clip]
        np.testing.assert_allclose(found.outputs, outputs[: len(found.outputs)], rtol=1e-4)
        for left, right in zip(
            made[0].non_trainable_weights, plain[0].non_trainable_weights, strict=True
        ):
            np.testing.assert_allclose(left, right, rtol=1e-5)

"""The engines against the paper's equations, against each other, and in limiting cases.

float64 throughout: 1e-10 is far above rounding in networks of this size and far below any wrong
frame, mask or divisor.
"""

import random

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.engines import (
    BatchedBackprop,
    FrameByFrameBackprop,
    GPipeBackprop,
    PipelinedSideways,
    TimeShiftedSideways,
    make_engine,
    per_frame,
)
from sideways_tf.modules import SidewaysBlock
from sideways_tf.networks import simple_cnn
from tests.engines import networks
from tests.engines.networks import assert_episodes_equal, random_clip, squared_error
from tests.engines.reference import Reference

SIDEWAYS = (PipelinedSideways, TimeShiftedSideways)
BP = (FrameByFrameBackprop, BatchedBackprop)
# (network, shape of a batch of frames, outputs, K)
CASES = {
    "dense": (lambda: networks.dense_layers(3), [2, 3], 4, 8),
    "dense, batch norm": (lambda: networks.dense_layers(4, norm=True), [3, 3], 5, 9),
    "one module": (lambda: networks.dense_layers(1), [2, 3], 4, 3),
    "two modules, shortest": (lambda: networks.dense_layers(2, norm=True), [2, 3], 5, 3),
    "convolutions": (networks.conv_layers, [2, 6, 6, 2], 3, 8),
    "convolutions, batch norm": (lambda: networks.conv_layers(norm=True), [2, 6, 6, 2], 3, 9),
}


@pytest.fixture(params=CASES)
def case(request):
    make, frame, outputs, frames = CASES[request.param]
    plain, modules = networks.copies(make, frame, count=2)
    return plain, modules, random_clip([frames, *frame], outputs)


def moving(layers):
    """Every non-trainable weight, by layer: modules hold buffers beside, which are not compared."""
    inner = [getattr(layer, "layer", layer) for layer in layers]
    return [[w.numpy() for w in layer.non_trainable_weights] for layer in inner]


def test_sideways_is_equations_3_and_4(case):
    plain, modules, (clip, targets) = case
    expected = Reference(plain, squared_error, clip, targets).sideways()
    for engine, copy in zip(SIDEWAYS, modules, strict=True):
        assert_episodes_equal(engine(copy, squared_error)(clip, targets), expected)


@pytest.mark.once
def test_bp_is_equations_1_and_2(case):
    plain, modules, (clip, targets) = case
    expected = Reference(plain, squared_error, clip, targets).backprop()
    for engine, copy in zip(BP, modules, strict=True):
        assert_episodes_equal(engine(copy, squared_error)(clip, targets), expected)


@pytest.mark.parametrize(
    ("engine", "goes_back"), [(TimeShiftedSideways, 3 + 4 + 5), (BatchedBackprop, 3 * 9)]
)
def test_no_backward_pass_without_a_gradient(engine, goes_back):
    """gamma_i = K - 2D + i + 1 frames of module i go backward, K = 9, D = 4; all of BP's."""
    batch, frames = 2, 9
    _, (modules,) = networks.copies(networks.conv_layers, [batch, 6, 6, 2], count=1)
    clip, targets = random_clip([frames, batch, 6, 6, 2], 3)
    made = engine(modules, squared_error)
    made.build(tf.TensorSpec(clip.shape[1:], clip.dtype))
    gradients = tf.function(lambda *args: made.compute(*args)[0].pseudo_gradients)
    graph = gradients.get_concrete_function(clip, targets, tf.constant([0, 0])).graph
    passes = [op for op in graph.get_operations() if op.type == "Conv2DBackpropFilter"]
    assert sum(op.inputs[2].shape[0] for op in passes) == batch * goes_back


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(n, marks=pytest.mark.once) for n in range(2, 6))]
)
def test_both_forms_agree_for_random_depth_frames_and_batch(seed):
    draw = random.Random(seed)
    depth, batch = draw.randint(1, 6), draw.randint(1, 4)
    frames = 2 * depth - 1 + draw.randint(0, 6)
    norm = draw.random() < 0.5 and batch > 1
    outputs = 4 + (depth - 1) % 2
    for forms in (SIDEWAYS, BP):
        _, modules = networks.copies(
            lambda: networks.dense_layers(depth, norm), [batch, 3], 2, seed=seed
        )
        clip, targets = random_clip([frames, batch, 3], outputs, seed)
        episodes = [
            engine(copy, squared_error)(clip, targets)
            for engine, copy in zip(forms, modules, strict=True)
        ]
        assert_episodes_equal(*episodes)
        for left, right in zip(*map(moving, modules), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-10)


def test_moving_statistics_are_those_of_keras_one_frame_after_the_other():
    """Module i sees K - i + 1 frames in Sideways, K in BP; none while it holds no frame."""
    frames, frame = 9, [3, 3]
    for engine in (*SIDEWAYS, *BP):
        plain, (modules,) = networks.copies(lambda: networks.dense_layers(3, norm=True), frame, 1)
        clip, targets = random_clip([frames, *frame], 4)
        engine(modules, squared_error)(clip, targets)
        for x in clip:  # Untrained, the layers below are constant: run them as the modules did.
            for layer in plain:
                x = layer(x, training=True)
        expected = moving(plain) if engine in BP else moving(_seen_in_sideways(frames, frame, clip))
        for left, right in zip(moving(modules), expected, strict=True):
            for a, b in zip(left, right, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12)


def _seen_in_sideways(frames, frame, clip):
    plain, _ = networks.copies(lambda: networks.dense_layers(3, norm=True), frame, 0)
    for tau in range(frames):
        x = clip[tau]
        for i, layer in enumerate(plain, 1):
            if tau + 1 <= frames - i + 1:
                x = layer(x, training=True)
    return plain


def scalar_modules(thetas):
    """y = theta * x, three modules with one weight each."""
    layers = [tf.keras.layers.Dense(1, use_bias=False, dtype="float64") for _ in thetas]
    modules = [SidewaysBlock(layer) for layer in layers]
    networks.run(modules, tf.zeros([1, 1], tf.float64))
    for module, theta in zip(modules, thetas, strict=True):
        module.layer.set_weights([np.array([[theta]])])
    return modules


@pytest.mark.parametrize("engine", SIDEWAYS)
def test_a_network_worked_by_hand(engine):
    """y = theta * x three times, theta = 2, 3, 5; frames 1, 2, 4, 8, 16, 32; loss = output * y^t.

    The loss gradient at h_3 is y^t; y = 1, 10, 100, ... tells steps apart in the digits.

      module 3, steps 3..6: y^t * h_2^{t-2} = y^t * 6 * x^{t-2}
          6*100 + 12*1000 + 24*10^4 + 48*10^5                        = 5052600, / 4 = 1263150
      module 2, steps 4..6: y^{t-1} * 5 * h_1^{t-1}, h_1 = 2 x
          5 * (100*8 + 1000*16 + 10^4*32)                            = 1684000, / 3
      module 1, steps 5..6: y^{t-2} * 5 * 3 * x^t
          15 * (100*16 + 1000*32)                                    = 504000,  / 2 = 252000
      loss, steps 3..6: 30 x^{t-2} y^t, mean
          (3000 + 60000 + 1200000 + 24000000) / 4                    = 6315750
    """
    clip = tf.reshape(tf.constant([1.0, 2, 4, 8, 16, 32], tf.float64), [6, 1, 1])
    targets = tf.reshape(tf.constant([1.0, 10, 1e2, 1e3, 1e4, 1e5], tf.float64), [6, 1, 1])
    episode = engine(scalar_modules([2.0, 3.0, 5.0]), lambda y, h: y * h)(clip, targets)
    assert float(episode.loss) == 6315750
    assert episode.outputs.numpy().ravel().tolist() == [30, 60, 120, 240]
    gradients = [module[0].numpy().item() for module in episode.pseudo_gradients]
    assert gradients == [252000, pytest.approx(1684000 / 3, rel=1e-15), 1263150]


@pytest.mark.parametrize("engine", BP)
def test_bp_of_the_same_network_worked_by_hand(engine):
    """Frames 1, 2, 4; y = 1, 10, 100: sum of x y = 421; mean gradients 421 / 3 * (15, 10, 6)."""
    clip = tf.reshape(tf.constant([1.0, 2, 4], tf.float64), [3, 1, 1])
    targets = tf.reshape(tf.constant([1.0, 10, 100], tf.float64), [3, 1, 1])
    episode = engine(scalar_modules([2.0, 3.0, 5.0]), lambda y, h: y * h)(clip, targets)
    gradients = [module[0].numpy().item() for module in episode.pseudo_gradients]
    assert gradients == pytest.approx([421 * 15 / 3, 421 * 10 / 3, 421 * 6 / 3], rel=1e-15)
    assert float(episode.loss) == pytest.approx(421 * 30 / 3, rel=1e-15)


def test_one_module_is_exactly_bp():
    _, modules = networks.copies(lambda: networks.dense_layers(1, norm=True), [3, 3], 4)
    clip, targets = random_clip([5, 3, 3], 4)
    engines = [e(m, squared_error) for e, m in zip((*SIDEWAYS, *BP), modules, strict=True)]
    episodes = [engine(clip, targets) for engine in engines]
    for episode in episodes[1:]:
        assert_episodes_equal(episodes[0], episode)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("engine", SIDEWAYS)
def test_a_frozen_stream_gives_bps_gradients(engine, norm):
    _, modules = networks.copies(lambda: networks.conv_layers(norm), [2, 6, 6, 2], 2)
    clip, targets = random_clip([1, 2, 6, 6, 2], 3)
    clip, targets = tf.repeat(clip, 8, axis=0), tf.repeat(targets, 8, axis=0)
    pseudo = engine(modules[0], squared_error)(clip, targets)
    true = FrameByFrameBackprop(modules[1], squared_error)(clip, targets)
    assert_episodes_equal((pseudo.loss, pseudo.outputs[0], pseudo.pseudo_gradients),
                          (true.loss, true.outputs[0], true.pseudo_gradients))  # fmt: skip


@pytest.mark.parametrize("engine", SIDEWAYS)
def test_the_last_module_is_exact_for_the_frames_it_saw(engine):
    """Module D met frames 1 .. K - D + 1, with the targets of steps D .. K."""
    depth, frames = 4, 10
    _, modules = networks.copies(lambda: networks.dense_layers(depth), [2, 3], 2)
    clip, targets = random_clip([frames, 2, 3], 5)
    pseudo = engine(modules[0], squared_error)(clip, targets)
    true = FrameByFrameBackprop(modules[1], squared_error)(clip[: -depth + 1], targets[depth - 1 :])
    for a, b in zip(pseudo.pseudo_gradients[-1], true.pseudo_gradients[-1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert not np.allclose(pseudo.pseudo_gradients[0][0], true.pseudo_gradients[0][0])


def dropout_layers():
    L = tf.keras.layers
    dense = [L.Dense(6, activation="tanh", dtype="float64") for _ in range(3)]
    drop = [tf.keras.Sequential([d, L.Dropout(0.5, dtype="float64")]) for d in dense]
    return [*drop, L.Dense(4, dtype="float64")]


@pytest.mark.parametrize("masks", ["episode", "step"])
@pytest.mark.parametrize("forms", [SIDEWAYS, (*BP, GPipeBackprop)])
def test_dropout_masks_are_the_same_in_all_forms_and_new_for_every_seed(forms, masks):
    _, modules = networks.copies(dropout_layers, [2, 3], len(forms))
    clip, targets = random_clip([9, 2, 3], 4)
    engines = [e(m, squared_error, masks=masks) for e, m in zip(forms, modules, strict=True)]
    first, *others = (engine(clip, targets, seed=[1, 2]) for engine in engines)
    for other in others:
        assert_episodes_equal(first, other)
    again, other = engines[0](clip, targets, seed=[1, 2]), engines[0](clip, targets, seed=[1, 3])
    assert_episodes_equal(first, again, rtol=0, atol=0)
    assert float(first.loss) != float(other.loss)


@pytest.mark.parametrize("rate", [0.5, 0.9])
@pytest.mark.parametrize("engine", SIDEWAYS)
def test_a_frozen_stream_gives_bps_gradients_with_dropout(engine, rate):
    """The paper's Intuitions: identical frames make pseudo-gradients equal gradients.

    Masks by step would break it: then only the last module's is right.
    """

    def layers():
        L = tf.keras.layers
        drop = [L.Dropout(rate, dtype="float64") for _ in range(2)]
        dense = [L.Dense(12, activation="tanh", dtype="float64") for _ in range(4)]
        pairs = [tf.keras.Sequential([*pair]) for pair in zip(dense[2:], drop, strict=True)]
        return [*dense[:2], *pairs, L.Dense(3, dtype="float64")]

    clip, targets = random_clip([1, 4, 5], 3)
    clip, targets = tf.repeat(clip, 12, axis=0), tf.repeat(targets, 12, axis=0)
    for masks in ("episode", "step"):
        _, modules = networks.copies(layers, [4, 5], 2)
        pseudo = engine(modules[0], squared_error, masks=masks)(clip, targets, [1, 2])
        # Sideways' loss is over the frames that reach module D: with masks by step, only those.
        true = BatchedBackprop(modules[1], squared_error, masks=masks)(
            clip[:8], targets[:8], [1, 2]
        )
        if masks == "episode":
            assert_episodes_equal((pseudo.loss, pseudo.outputs, pseudo.pseudo_gradients), true)
            continue
        pairs = zip(pseudo.pseudo_gradients, true.pseudo_gradients, strict=True)
        assert [np.allclose(a[0], b[0], rtol=1e-9) for a, b in pairs] == [False] * 4 + [True]


@pytest.mark.parametrize(("masks", "different"), [("episode", 2), ("step", 12)])
@pytest.mark.parametrize("engine", [*SIDEWAYS, *BP, GPipeBackprop])
def test_dropout_draws_one_mask_for_an_example_or_one_for_each_of_its_frames(
    engine, masks, different
):
    """Equal frames through a linear module: outputs differ as masks do."""
    module = SidewaysBlock(tf.keras.layers.Dropout(0.5, dtype="float64"))
    head = SidewaysBlock(tf.keras.layers.Activation("linear", dtype="float64"))
    frames = 7 if engine in SIDEWAYS else 6
    clip = tf.ones([frames, 2, 40], tf.float64)
    run = engine([module, head], squared_error, masks=masks)
    outputs = run(clip, clip, [0, 0]).outputs.numpy()
    assert set(np.unique(outputs)) == {0.0, 2.0}
    rows = outputs.reshape(12, 40)
    assert len({row.tobytes() for row in rows}) == different
    assert 0.35 < outputs.mean() / 2 < 0.65


@pytest.mark.parametrize("engine", [*SIDEWAYS, *BP, GPipeBackprop])
def test_every_module_draws_its_own_masks(engine):
    """Two modules of rate 1/2 keep a quarter of all numbers; with one mask for both, half."""
    modules = [SidewaysBlock(tf.keras.layers.Dropout(0.5, dtype="float64")) for _ in range(2)]
    clip = tf.ones([3, 2, 400], tf.float64)
    outputs = engine(modules, squared_error)(clip, clip, [0, 0]).outputs.numpy()
    assert set(np.unique(outputs)) == {0.0, 4.0}
    # 800 draws: the share kept has a standard deviation of 1.5 %.
    assert outputs.mean() / 4 == pytest.approx(0.25, abs=0.06)


DEVICES = {
    "one": [0, 0, 0, 0],
    "two": [0, 0, 1, 1],
    "uneven": [0, 1, 1, 1],
    "one each": [0, 1, 2, 3],
    "out of order": [3, 1, 0, 2],
}


@pytest.mark.once
@pytest.mark.parametrize("numbers", DEVICES.values(), ids=DEVICES)
@pytest.mark.parametrize("engine", [PipelinedSideways, FrameByFrameBackprop])
def test_placement_changes_no_number(engine, numbers):
    frame = [2, 6, 6, 2]
    clip, targets = random_clip([8, *frame], 3)
    devices = [f"/device:CPU:{n}" for n in numbers]
    _, (modules,) = networks.copies(lambda: networks.conv_layers(True), frame, 1, devices)
    for module, device in zip(modules, devices, strict=True):
        assert all(v.device.endswith(device) for v in module.trainable_variables)
    _, (local,) = networks.copies(lambda: networks.conv_layers(True), frame, 1)
    expected = engine(local, squared_error)(clip, targets)
    assert_episodes_equal(engine(modules, squared_error)(clip, targets), expected)
    if engine is PipelinedSideways:
        for module, device in zip(modules[1:], devices[1:], strict=True):
            assert module.activation.device.endswith(device)
            assert module.pseudo_gradient.device.endswith(device)


def test_the_same_numbers_eager_and_in_a_graph():
    _, modules = networks.copies(lambda: networks.dense_layers(3, norm=True), [2, 3], 2)
    clip, targets = random_clip([7, 2, 3], 4)
    graph = PipelinedSideways(modules[0], squared_error)(clip, targets)
    tf.config.run_functions_eagerly(True)
    try:
        eager = PipelinedSideways(modules[1], squared_error)(clip, targets)
    finally:
        tf.config.run_functions_eagerly(False)
    assert_episodes_equal(graph, eager)


def test_buffers_hold_the_pipe_of_the_last_step_and_every_clip_starts_empty():
    plain, (modules,) = networks.copies(lambda: networks.dense_layers(3), [2, 3], 1)
    clip, targets = random_clip([7, 2, 3], 4)
    engine = PipelinedSideways(modules, squared_error)
    first = engine(clip, targets)
    np.testing.assert_allclose(modules[0].activation, plain[0](clip[6]), rtol=1e-12)
    np.testing.assert_allclose(modules[1].activation, plain[1](plain[0](clip[5])), rtol=1e-12)
    reference = Reference(plain, squared_error, clip, targets)
    np.testing.assert_allclose(modules[1].pseudo_gradient, reference.emitted(2, 7), rtol=1e-10)
    np.testing.assert_allclose(modules[2].pseudo_gradient, reference.emitted(3, 7), rtol=1e-10)
    assert modules[0].pseudo_gradient is None
    assert_episodes_equal(first, engine(clip, targets), rtol=0, atol=0)


def test_a_module_that_is_not_finite_at_zeros_does_no_harm_while_the_pipe_fills():
    L = tf.keras.layers

    def layers():
        unit = L.Lambda(lambda h: h / tf.norm(h, axis=-1, keepdims=True), dtype="float64")
        return [L.Dense(4, dtype="float64"), unit, L.Dense(2, dtype="float64")]

    _, modules = networks.copies(layers, [2, 3], 2)
    clip, targets = random_clip([7, 2, 3], 2)
    episodes = [e(m, squared_error)(clip, targets) for e, m in zip(SIDEWAYS, modules, strict=True)]
    assert np.isfinite(episodes[0].loss)
    assert_episodes_equal(*episodes)


def test_simple_cnn_in_float32_at_full_size():
    """Both Sideways engines, 112x112, K = 64: 1e-5 relative for each variable, in L2.

    One engine sums 64 small gradients, the other a single convolution over all frames: what is
    left is the rounding of float32 sums of 10^5 to 10^6 terms.
    """
    tf.keras.utils.set_random_seed(1)
    clip = tf.random.uniform([64, 2, 112, 112, 3])
    labels = per_frame(tf.constant([3, 7]), 64)
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits
    layers = [[SidewaysBlock(layer) for layer in simple_cnn(51)] for _ in range(2)]
    engines = [engine(modules, loss) for engine, modules in zip(SIDEWAYS, layers, strict=True)]
    for engine in engines:
        engine.build(tf.TensorSpec(clip.shape[1:]))
    for a, b in zip(*layers, strict=True):
        b.layer.set_weights(a.layer.get_weights())
    left, right = (engine(clip, labels) for engine in engines)
    np.testing.assert_allclose(left.loss, right.loss, rtol=1e-6)
    for a, b in zip(left.pseudo_gradients, right.pseudo_gradients, strict=True):
        for g, h in zip(a, b, strict=True):
            assert tf.norm(g - h) <= 1e-5 * tf.norm(h)


@pytest.mark.parametrize(
    ("devices", "expected"),
    [(["", ""], TimeShiftedSideways), (["CPU:0", "CPU:1"], PipelinedSideways)],
)
def test_auto_takes_the_pipeline_where_there_are_several_devices(devices, expected):
    layers = [tf.keras.layers.Dense(2) for _ in devices]
    modules = [SidewaysBlock(x, d) for x, d in zip(layers, devices, strict=True)]
    assert type(make_engine("sideways", modules, squared_error)) is expected

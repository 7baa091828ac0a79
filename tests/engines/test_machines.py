"""One loop on each machine gives, bit for bit, what one loop over all devices gives.

Logical devices stand for machines here; tests/test_workers.py has real ones.
"""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.engines import machines, make_engine
from sideways_tf.modules import SidewaysBlock
from sideways_tf.modules.wiring import Wiring, make_wiring
from tests.engines.networks import dense_layers

SKIPS = make_wiring(4, [(1, 3, 3), (1, 4, 1)], "concat")
ENGINES = {"sideways": "pipelined", "bp": "frame_by_frame"}
L = tf.keras.layers


@pytest.fixture
def apart(monkeypatch):
    """Every logical device is a machine."""
    monkeypatch.setattr(machines, "machine_of", lambda device: f"/device:{device}")
    monkeypatch.setattr(machines, "processor", lambda machine: machine)


def make(algorithm, places, wiring, **more):
    """An engine with the same weights at each call."""
    tf.keras.utils.set_random_seed(3)
    layers = dense_layers(len(places), norm=True)
    layers[-1] = tf.keras.Sequential([L.Dropout(0.3), L.Dense(4, dtype="float64")])
    modules = [SidewaysBlock(layer, f"CPU:{n}") for layer, n in zip(layers, places, strict=True)]
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits
    engine = make_engine(algorithm, modules, loss, ENGINES[algorithm], wiring=wiring, **more)
    engine.build(tf.TensorSpec([2, 5], tf.float64))
    return engine


def everything(engine, episode):
    """All that a call gives, and all that it has written."""
    found = [*episode[:2], *tf.nest.flatten(episode.pseudo_gradients)]
    return [*map(np.asarray, found), *written(engine)]


def written(engine):
    """Of the modules' variables."""
    found = []
    for module in engine.modules:
        found += [*module.layer.weights, module.activation, *module.older]
        found += [] if module.pseudo_gradient is None else [module.pseudo_gradient]
    return [np.asarray(each) for each in found]


@pytest.mark.parametrize(
    ("algorithm", "places", "wiring"),
    [
        ("sideways", [0, 0, 1, 1], Wiring(4)),
        ("sideways", [0, 1, 2, 0], SKIPS),
        ("bp", [0, 0, 1, 1], Wiring(4)),
        ("bp", [0, 1, 2, 0], Wiring(4)),
    ],
    ids=["sideways", "sideways, there and back, skips", "bp", "bp, there and back"],
)
def test_a_loop_on_each_machine_gives_what_one_loop_gives(apart, algorithm, places, wiring):
    rng = np.random.default_rng(1)
    clip = tf.constant(rng.normal(size=[17, 2, 5]))
    targets = tf.constant(rng.integers(4, size=[17, 2]), tf.int32)
    one, many = make(algorithm, [3] * 4, wiring), make(algorithm, places, wiring)
    for _ in range(3):
        seed = tf.constant(rng.integers(99, size=2), tf.int32)
        left, right = (everything(e, e(clip, targets, seed)) for e in (one, many))
        for x, y in zip(left, right, strict=True):
            np.testing.assert_array_equal(x, y)
    graph = many._graph.get_concrete_function(clip, targets, seed, trained(many)).graph
    loops = [op for op in graph.get_operations() if "While" in op.type and len(op.inputs) > 9]
    assert len(loops) == len(set(places))


def learner(engine, every):
    """A call that learns from a clip, by updates whose rate grows with each step."""
    now = []

    def clock():
        @contextlib.contextmanager
        def after(n):
            now.append(5 + n)
            yield
            now.pop()

        return after

    def update(i, found):
        rate = 0.01 * tf.cast(now[-1], tf.float64)
        for variable, gradient in zip(engine.modules[i].trainable_variables, found, strict=True):
            variable.assign_sub(rate * gradient)

    @tf.function(autograph=False)
    def learn(clip, targets, seed):
        loss, scanned = engine.learn(
            clip, targets, seed, every, update, clock=clock, keep_outputs=True
        )
        return [loss, scanned.outputs, *scanned[4:]]

    return learn


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(
    ("places", "wiring"), [([0, 0, 1, 1], Wiring(4)), ([0, 1, 2, 0], SKIPS)], ids=["cut", "skips"]
)
def test_with_updates_on_the_way(apart, places, wiring, every):
    rng = np.random.default_rng(1)
    clip = tf.constant(rng.normal(size=[17, 2, 5]))
    targets = tf.constant(rng.integers(4, size=[17, 2]), tf.int32)
    engines = [make("sideways", each, wiring, stream=True) for each in ([3] * 4, places)]
    learns = [learner(engine, every) for engine in engines]
    for _ in range(3):
        seed = tf.constant(rng.integers(99, size=2), tf.int32)
        left, right = (
            [*map(np.asarray, learn(clip, targets, seed)), *written(engine)]
            for learn, engine in zip(learns, engines, strict=True)
        )
        for x, y in zip(left, right, strict=True):
            np.testing.assert_array_equal(x, y)
    graph = learns[1].get_concrete_function(clip, targets, seed).graph
    loops = [op for op in graph.get_operations() if "While" in op.type and len(op.inputs) > 9]
    assert len(loops) == len(set(places))


def trained(engine):
    """As `Engine.__call__` tells its graphs apart."""
    return hash(tuple(v.ref() for m in engine.modules for v in m.trainable_variables))


@pytest.mark.parametrize("algorithm", ["sideways", "bp"])
def test_what_a_failed_call_leaves_in_the_queues_is_not_read(apart, algorithm):
    rng = np.random.default_rng(2)
    clip = tf.constant(rng.normal(size=[9, 2, 5]))
    good = tf.constant(rng.integers(4, size=[9, 2]), tf.int32)
    bad = tf.concat([good[:6], good[6:] + 99], 0)
    seed = tf.constant([1, 2])
    engine = make(algorithm, [0, 0, 1, 1], Wiring(4))
    before = everything(engine, engine(clip, good, seed))[:2]
    with pytest.raises(tf.errors.InvalidArgumentError, match="label value"):
        engine(clip, bad, seed)
    after = everything(engine, engine(clip, good, seed))[:2]
    for x, y in zip(before, after, strict=True):
        np.testing.assert_array_equal(x, y)

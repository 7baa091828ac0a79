"""A graph is traced once: a training run must not pay for it again at every step."""

import pytest
import tensorflow as tf

from sideways_tf import SidewaysModel
from sideways_tf.engines import ENGINES, make_engine
from tests.engines.networks import copies, dense_layers, random_clip, squared_error


class Counting(tf.keras.layers.Layer):
    """Counts how often Python runs its `call`."""

    calls = 0

    def call(self, x):
        type(self).calls += 1
        return x


def counting_layers():
    return [*dense_layers(2), Counting(dtype="float64")]


@pytest.mark.parametrize(
    ("algorithm", "engine"), [(name, engine) for name, there in ENGINES.items() for engine in there]
)
def test_an_engine_traces_once(algorithm, engine):
    _, (modules,) = copies(counting_layers, [2, 4], 1)
    engine = make_engine(algorithm, modules, squared_error, engine)
    clip, targets = random_clip([6, 2, 4], 5)
    engine(clip, targets)
    traced = Counting.calls
    for seed in range(3):
        engine(*random_clip([6, 2, 4], 5, seed), tf.constant([seed, 1]))
    assert Counting.calls == traced
    assert engine._graph.experimental_get_tracing_count() == 1
    engine(*random_clip([7, 2, 4], 5))  # Another K is another graph: the count can rise.
    assert engine._graph.experimental_get_tracing_count() == 2


@pytest.mark.parametrize("every", [0, 2])
def test_an_update_traces_once(every):
    layers = counting_layers()
    model = SidewaysModel(
        layers, devices="CPU:0,CPU:1,CPU:2", placement="one_per_module", update_every=every
    )
    model.compile("adam", tf.nn.sparse_softmax_cross_entropy_with_logits)
    labels, traced = tf.constant([0, 1], tf.int32), []
    for seed in range(3):
        clips = tf.transpose(random_clip([6, 2, 4], 1, seed)[0], [1, 0, 2])
        model.train_on_batch(clips, labels)
        traced.append(Counting.calls)
    assert traced[0] == traced[-1]

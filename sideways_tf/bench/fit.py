"""What `SidewaysModel.fit` costs over a bare engine with its optimizers: Simple-CNN, by engine.

    sideways bench fit
    sideways bench fit --engine=pipelined --devices=CPU:0,CPU:1 --logical_cpus=2

Fit takes clips [B, K, ...] out of a `tf.data` of one batch in memory, the bare step the same clips
time-major. The two take turns in one run; of each turn's ratio the median counts, by the clock and
by the processor's cores, which other work on the machine disturbs less. The last figure is the turn
of a batch to time-major, alone.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sideways_tf.runs import options

if TYPE_CHECKING:
    import tensorflow as tf

FLAGS, define = options.new_flags()
define("engine", "all", "of Sideways", choices=("all", "time_shifted", "pipelined"))
define("devices", "CPU:0", "of the modules, comma-separated; auto: all")
define("logical_cpus", 1, "split the CPU into so many devices", low=1)
define("size", 112, "height and width of the frames, in pixels", low=8)
define("batch_size", 8, "B, clips in a batch", low=1)
define("frames", 32, "K, frames of a clip", low=11)
define("classes", 51, "of the last module", low=2)
define("steps", 5, "training steps of a turn", low=1)
define("repeats", 7, "turns", low=1)
define("json", False, "print JSON")


def main() -> None:
    """Print seconds of a step, of fit and bare, their ratio, and the seconds of turning a clip."""
    import tensorflow as tf

    from sideways_tf.plan.devices import split_cpu

    tf.get_logger().setLevel("ERROR")
    split_cpu(FLAGS.logical_cpus)
    tf.keras.utils.set_random_seed(0)
    rows = []
    for engine in ("time_shifted", "pipelined") if FLAGS.engine == "all" else (FLAGS.engine,):
        rows.append({"engine": engine, **measure(engine)})
    if FLAGS.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['engine']:<13} fit {row['fit']:.3f} s  bare {row['bare']:.3f} s  "
            f"ratio {row['ratio']:.3f}, of core seconds {row['core_ratio']:.3f}  "
            f"time-major {1000 * row['turn']:.1f} ms"
        )


def measure(engine: str) -> dict[str, float]:
    """Medians over the turns: seconds of a step, and the ratio of fit to bare."""
    import tensorflow as tf

    shape = [FLAGS.batch_size, FLAGS.frames, FLAGS.size, FLAGS.size, 3]
    clips = tf.random.uniform(shape)
    labels = tf.random.uniform([FLAGS.batch_size], maxval=FLAGS.classes, dtype=tf.int32)
    calls = steps_of(engine, clips, labels)
    found: dict[str, list[float]] = {name: [] for name in calls}
    cores: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(FLAGS.repeats + 1):
        for name, call in calls.items():
            start, core_start = time.perf_counter(), time.process_time()
            call()
            if turn:  # The first one traces.
                found[name].append((time.perf_counter() - start) / FLAGS.steps)
                cores[name].append((time.process_time() - core_start) / FLAGS.steps)
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    return {**medians, "ratio": _ratio(found), "core_ratio": _ratio(cores)}


def _ratio(seconds: dict[str, list[float]]) -> float:
    pairs = zip(seconds["fit"], seconds["bare"], strict=True)
    return statistics.median(fit / bare for fit, bare in pairs)


def steps_of(engine: str, clips: tf.Tensor, labels: tf.Tensor) -> dict[str, Callable[[], object]]:
    """What is measured: each runs `--steps` steps."""
    import tensorflow as tf

    from sideways_tf.bench.measure import make_optimizer, training_step
    from sideways_tf.data.pipeline import untuned
    from sideways_tf.engines import make_engine
    from sideways_tf.model import SidewaysModel
    from sideways_tf.modules import SidewaysBlock
    from sideways_tf.networks import simple_cnn
    from sideways_tf.streaming import time_major

    loss = tf.nn.sparse_softmax_cross_entropy_with_logits
    model = SidewaysModel(simple_cnn(FLAGS.classes), engine=engine, devices=FLAGS.devices)
    model.compile(make_optimizer, loss)
    model.build(clips.shape)
    pairs = zip(simple_cnn(FLAGS.classes), model.modules, strict=True)
    modules = [SidewaysBlock(layer, module.device) for layer, module in pairs]
    bare = make_engine("sideways", modules, loss, engine)
    bare.build(tf.TensorSpec([clips.shape[0], *clips.shape[2:]]))
    step = training_step(bare)
    # As the data of a run; tf.data's tuning thread would hold up the end of each fit.
    batches = untuned(tf.data.Dataset.from_tensors((clips, labels)).repeat(FLAGS.steps))
    turned, turn = time_major(clips), tf.function(time_major)
    return {
        "fit": lambda: model.fit(batches, verbose=0),
        "bare": lambda: [float(step(turned, labels)) for _ in range(FLAGS.steps)],
        "turn": lambda: [turn(clips)[0, 0, 0, 0].numpy() for _ in range(FLAGS.steps)],
    }

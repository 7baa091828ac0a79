"""One module of most of the work, on two CPU devices: shared out over both, against whole.

    sideways bench wide
    sideways bench wide --pairs=3 --steps=1 --frames=16       a quick look
    sideways bench wide --lend                                as TensorFlow runs logical CPUs
    sideways bench wide --slices=256,160,152,148,144          what slices of the large module cost

The network has five modules; the second, a convolution, has about 80 % of the work, so that
whole modules gain at most 1.25x. Both ways start from the same weights, have to agree on the loss,
and take turns in one run; one thread a kernel. The median of the pairs' ratios counts. A device
computes one pass at a time (`one_at_a_time.py`); with --lend TensorFlow lends it the threads of the
others, so that whole modules take all cores, too, and there is nothing to gain.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sideways_tf.errors import UserError
from sideways_tf.runs import options

if TYPE_CHECKING:
    import tensorflow as tf

    from sideways_tf.plan.shares import Shares

FLAGS, define = options.new_flags()
define("devices", 2, "logical CPU devices", low=2)
define("batch_size", 16, "B, clips in a batch", low=1)
define("frames", 32, "K, frames of a clip", low=9)
define("size", 112, "height and width of the frames, in pixels", low=16)
define("pairs", 5, "turns of both ways", low=1)
define("steps", 2, "training steps of a turn", low=1)
define("lend", False, "let logical devices compute several passes at once, on each other's threads")
define(
    "slices", [], "instead: what slices of so many channels of the large module take, forward and "
    "backward, in turns",
)  # fmt: skip
define("json", False, "print JSON")

TOLERANCE = 1e-4
LARGE = 256  # Channels of the large module.
MODULES = 5


def main() -> None:
    """Print the plan, seconds of a step of both ways, and their ratio."""
    channels = channels_of(FLAGS.slices)

    import tensorflow as tf

    from sideways_tf.bench.simulated import allow_sleepers
    from sideways_tf.plan.devices import split_cpu

    tf.config.threading.set_intra_op_parallelism_threads(1)
    if FLAGS.lend:
        tf.config.threading.set_inter_op_parallelism_threads(FLAGS.devices)
    else:
        allow_sleepers(MODULES + FLAGS.devices)  # Passes that wait for their device.
    split_cpu(FLAGS.devices)
    if channels:
        print(measure_slices(channels))
        return
    found = measure()
    if FLAGS.json:
        print(json.dumps(found))
        return
    print(f"largest module: {found['largest']:.0%} of the time of all")
    print(f"plan (device, channels): {found['plan']}; it allows {found['bound']:.2f}x over whole")
    cores = found["core_seconds"]
    print(
        f"seconds a step: whole {found['whole']:.3f}, shared out {found['wide']:.3f}; of processor "
        f"cores {cores['whole']:.3f}, {cores['wide']:.3f}"
    )
    print(
        f"shared out over whole: {found['ratio']:.2f}x, median of {FLAGS.pairs} pairs, "
        f"{found['lowest']:.2f}x to {found['highest']:.2f}x; fastest turns {found['fastest']:.2f}x"
    )


def network() -> list[tf.keras.layers.Layer]:
    """Five modules, unbuilt; the second has about 80 % of the work."""
    import tensorflow as tf

    from sideways_tf.bench.one_at_a_time import HeldConv2D

    def conv(filters: int, size: int, strides: int, name: str) -> tf.keras.layers.Layer:
        if not FLAGS.lend:
            return HeldConv2D(filters, size, strides, name=name)
        return tf.keras.layers.Conv2D(
            filters, size, strides, "same", activation="relu", use_bias=False, name=name
        )

    head = [tf.keras.layers.GlobalAveragePooling2D(), tf.keras.layers.Dense(10)]
    return [
        conv(64, 3, 4, "first"), conv(LARGE, 5, 1, "large"), conv(64, 1, 1, "narrow"),
        conv(128, 3, 2, "last"), tf.keras.Sequential(head, name="linear"),
    ]  # fmt: skip


def measure() -> dict:
    """Both ways in turn; see `main`."""
    import tensorflow as tf

    from sideways_tf.plan import shares
    from sideways_tf.plan.costs import costs
    from sideways_tf.plan.times import measure as module_times

    frame = tf.TensorSpec([FLAGS.batch_size, FLAGS.size, FLAGS.size, 3], tf.float32)
    seconds = [each.both for each in module_times(network(), frame, "CPU:0")]
    loads = [
        shares.Load(each, cost.units)
        for each, cost in zip(seconds, costs(network(), frame), strict=True)
    ]
    plans = {
        "whole": shares.whole(loads, FLAGS.devices),
        "wide": shares.widen(loads, FLAGS.devices),
    }
    steps = {name: make_step(plan, frame) for name, plan in plans.items()}
    losses = {name: step() for name, step in steps.items()}
    if abs(losses["whole"] - losses["wide"]) > TOLERANCE:
        raise UserError(f"the two ways differ after one step, loss by loss: {losses}")
    turns: dict[str, list[float]] = {name: [] for name in steps}
    cores: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(FLAGS.pairs):
        for name, step in steps.items():
            start, core_start = time.perf_counter(), time.process_time()
            for _ in range(FLAGS.steps):
                step()
            turns[name].append((time.perf_counter() - start) / FLAGS.steps)
            cores[name].append((time.process_time() - core_start) / FLAGS.steps)
    ratios = sorted(a / b for a, b in zip(turns["whole"], turns["wide"], strict=True))
    return {
        **{name: statistics.median(each) for name, each in turns.items()},
        "core_seconds": {name: statistics.median(each) for name, each in cores.items()},
        "plan": plans["wide"],
        "largest": max(seconds) / sum(seconds),
        "bound": shares.gain(loads, plans["wide"], FLAGS.devices),
        "ratio": statistics.median(ratios),
        "lowest": ratios[0],
        "highest": ratios[-1],
        # What else the machine does holds up two devices more often than one.
        "fastest": min(turns["whole"]) / min(turns["wide"]),
    }


def channels_of(given: list[str]) -> list[int]:
    """--slices as numbers of channels; UserError for others than 1 to those of the module."""
    for each in given:
        if not (each.isdecimal() and 1 <= int(each) <= LARGE):
            raise UserError(f"--slices={each}: give numbers of channels from 1 to {LARGE}")
    return [int(each) for each in given]


def measure_slices(channels: list[int]) -> str:
    """A table: milliseconds of each slice, and over its share of the whole module's."""
    import tensorflow as tf

    from sideways_tf.plan.times import measure as module_times
    from sideways_tf.report.table import Table

    side = FLAGS.size // 4
    frame = tf.TensorSpec([FLAGS.batch_size, side, side, 3], tf.float32)
    best: dict[int, float] = {}
    for _ in range(FLAGS.pairs):
        for units in {LARGE: None, **dict.fromkeys(channels)}:
            below = tf.keras.layers.Conv2D(64, 1)  # So that there is a gradient for what is below.
            layer = tf.keras.layers.Conv2D(units, 5, 1, "same", activation="relu", use_bias=False)
            found = module_times([below, layer], frame, "CPU:0", FLAGS.steps)[1]
            best[units] = min(found.both, best.get(units, found.both))
    rows = [
        [str(n), f"{1000 * seconds:.1f}", f"{seconds / best[LARGE] * LARGE / n:.2f}"]
        for n, seconds in best.items()
    ]
    return Table("", ["channels", "ms", "over its share of the whole"], rows).markdown()


def make_step(plan: list[Shares], frame: tf.TensorSpec) -> Callable[[], float]:
    """A training step on fixed clips, from fixed weights."""
    import tensorflow as tf

    from sideways_tf.bench.measure import training_step
    from sideways_tf.engines import make_engine
    from sideways_tf.modules import SidewaysBlock
    from sideways_tf.plan import shares

    tf.keras.utils.set_random_seed(0)
    modules = [
        SidewaysBlock(layer, f"CPU:{shares.lead(each)}", [(f"CPU:{n}", units) for n, units in each])
        for layer, each in zip(network(), plan, strict=True)
    ]
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits
    engine = make_engine("sideways", modules, loss, "pipelined")
    engine.build(frame)
    step = training_step(engine)
    clip = tf.random.stateless_uniform([FLAGS.frames, *frame.shape], [1, 2])
    labels = tf.range(FLAGS.batch_size) % 10
    return lambda: float(step(clip, labels))

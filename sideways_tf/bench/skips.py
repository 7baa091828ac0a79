"""What skips cost the pipelined engine, on simulated accelerators.

    python -m sideways_tf.bench.skips --modules=8 --step_ms=12 --skips=1:3,3:5

Module times are given (bench/simulated.py), so that what differs is what the engine and the
executor do for skips. Rows without and with skips are timed in turn; the best of each counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sideways_tf import cli
from sideways_tf.errors import UserError
from sideways_tf.runs.options import new_flags

FLAGS, define = new_flags()
define("modules", 8, "what: D, each on an accelerator of its own", low=3)
define("frames", 64, "what: K", low=1)
define("step_ms", 12.0, "what: forward and backward time of a module at a step", low=0.1)
define("skips", ["1:3", "3:5"], "what: source:target or source:target:delay, comma-separated")
define("repeats", 5, "how: episodes timed of each", low=1)


def main() -> int:
    """Print both times and their ratio."""
    from sideways_tf.bench.simulated import allow_sleepers
    from sideways_tf.modules.wiring import Wiring, make_wiring
    from sideways_tf.plan.devices import split_cpu

    skips = [_numbers(word) for word in FLAGS.skips]
    rows = {"without": Wiring(FLAGS.modules), "with": make_wiring(FLAGS.modules, skips)}
    allow_sleepers(2 * FLAGS.modules)
    split_cpu(FLAGS.modules)
    runs = {name: _episode(wiring) for name, wiring in rows.items()}
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(FLAGS.repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    for name, seconds in best.items():
        print(f"{name:8} skips   {seconds * 1000:8.1f} ms an episode of {FLAGS.frames} steps")
    print(f"cost     {best['with'] / best['without'] - 1:+.1%}")
    return 0


def _numbers(word: str) -> list[int]:
    try:
        return [int(part) for part in word.split(":")]
    except ValueError:
        raise UserError(f"--skips: '{word}' is none; give source:target, such as 1:3") from None


def _episode(wiring) -> Callable[[], float]:  # type: ignore[no-untyped-def]
    """A warm episode of the simulated network."""
    import tensorflow as tf

    from sideways_tf.bench.simulated import simulated_modules
    from sideways_tf.bench.timeline import Timeline
    from sideways_tf.engines import make_engine
    from sideways_tf.plan.devices import find_devices
    from sideways_tf.plan.times import ModuleTime

    depth, timeline = wiring.depth, Timeline()
    names = find_devices(",".join(f"CPU:{n}" for n in range(depth)))
    each = ModuleTime(FLAGS.step_ms / 3000, FLAGS.step_ms / 1500)
    modules = simulated_modules([each] * depth, range(depth), names, timeline)
    engine = make_engine(
        "sideways", modules, tf.math.squared_difference, "pipelined", wiring=wiring
    )
    clip = tf.random.uniform([FLAGS.frames, 2, 2])

    def run() -> float:
        found = float(engine(clip, clip, tf.constant([0, 0])).loss)
        timeline.take()
        return found

    run()
    return run


if __name__ == "__main__":
    cli.run(main)

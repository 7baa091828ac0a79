"""Cost of training on a stream, per frame, beside one bare training step of the same network.

    python tools/benchmark_stream.py
    python tools/benchmark_stream.py --simulated=6

Bare: forward, backward and Adam step of the plain Keras network on one batch of frames. Stream:
`StreamUpdate.advance` on a full pipe, so that every module of Sideways is due at every step, those
of blocked BP once in 2D - 1 steps. All take turns in one run, the fastest of all turns counts.

--simulated=D runs both algorithms on D simulated accelerators, one for each of D equal modules, and
counts the frames that each takes in.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sideways_tf import cli

if TYPE_CHECKING:
    import tensorflow as tf

_SIZE = flags.DEFINE_integer("size", 240, "height and width of the frames, in pixels", 8)
_BATCH = flags.DEFINE_integer("batch_size", 1, "frames in a batch", 1)
_FRAMES = flags.DEFINE_integer("frames", 22, "steps in one call, in frames", 1)
_MILLISECONDS = 4.0  # of a simulated module's forward pass, and of its backward pass
_REPEATS = flags.DEFINE_integer("repeats", 5, "turns", 1)
_SIMULATED = flags.DEFINE_integer("simulated", 0, "D, simulated accelerators; 0: none", 0)
_JSON = flags.DEFINE_bool("json", False, "print JSON")


def main() -> None:
    """Print seconds a frame and the ratio to the bare step; or frames on simulated devices."""
    if _SIMULATED.value:
        simulate(_SIMULATED.value, _FRAMES.value)
        return
    import tensorflow as tf

    from sideways_tf.networks.autoencoder import check_size

    check_size(_SIZE.value)
    tf.keras.utils.set_random_seed(0)
    clip = tf.random.uniform([_FRAMES.value, _BATCH.value, _SIZE.value, _SIZE.value, 3])
    calls = {
        "bare": bare_steps(clip),
        "sideways": stream_steps("sideways", clip),
        "bp": stream_steps("bp", clip),
    }
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(_REPEATS.value):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], (time.perf_counter() - start) / _FRAMES.value)
    if _JSON.value:
        print(json.dumps({f"{name}_seconds_per_frame": value for name, value in best.items()}))
        return
    for name, value in best.items():
        print(f"{name:<9} {1000 * value:8.1f} ms a frame  {value / best['bare']:6.3f} of bare")


def bare_steps(clip: tf.Tensor) -> Callable[[], object]:
    """One ordinary training step for each frame of `clip`; traced and run once."""
    import tensorflow as tf

    from sideways_tf.networks.autoencoder import autoencoder, pixel_error
    from sideways_tf.learning_rate import WarmUpThenDrops
    from sideways_tf.training.optimizers import make_optimizer

    model = tf.keras.Sequential(autoencoder())
    model.build(clip.shape[1:])
    rate, decay = (WarmUpThenDrops(initial, 1) for initial in (1e-4, 0.0))
    optimizer = make_optimizer("adam", rate, decay)

    @tf.function
    def step(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(pixel_error(x, model(x, training=True)))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    def run() -> None:
        for x in clip:
            loss = step(x)
        loss.numpy()

    run()
    return run


def stream_steps(algorithm: str, clip: tf.Tensor) -> Callable[[], object]:
    """All frames of `clip` in one call on a full pipe; traced and run once."""
    import tensorflow as tf

    from sideways_tf.engines.stream import make_stream
    from sideways_tf.modules import SidewaysBlock
    from sideways_tf.networks.autoencoder import autoencoder, pixel_error
    from sideways_tf.learning_rate import WarmUpThenDrops
    from sideways_tf.training.optimizers import make_optimizer
    from sideways_tf.training.stream_update import ByStep, StreamUpdate

    def make(steps: tf.Variable) -> tf.keras.optimizers.legacy.Optimizer:
        rate, decay = (WarmUpThenDrops(initial, 1) for initial in (1e-4, 0.0))
        return make_optimizer("adam", ByStep(rate, steps), ByStep(decay, steps))

    engine = make_stream(algorithm, [SidewaysBlock(x) for x in autoencoder()], pixel_error)
    engine.build(tf.TensorSpec(clip.shape[1:], clip.dtype))
    update = StreamUpdate(engine, make)
    update.advance(clip, clip)
    return lambda: update.advance(clip, clip).loss.numpy()


def simulate(depth: int, steps: int) -> None:
    """Print how many frames each algorithm takes in `steps` steps, and in a second."""
    import tensorflow as tf

    from sideways_tf.plan import devices as placement
    from sideways_tf.plan.times import ModuleTime
    from sideways_tf.bench.simulated import allow_sleepers, simulated_modules
    from sideways_tf.engines.stream import make_stream
    from sideways_tf.bench.timeline import Timeline, busy_shares
    from sideways_tf.networks.autoencoder import pixel_error
    from sideways_tf.learning_rate import WarmUpThenDrops
    from sideways_tf.training.optimizers import make_optimizer
    from sideways_tf.training.stream_update import StreamUpdate

    allow_sleepers(depth)
    placement.split_cpu(depth)
    seconds = ModuleTime(_MILLISECONDS / 1000, _MILLISECONDS / 1000)
    zero = WarmUpThenDrops(0.0, 1)
    clip = tf.ones([steps, 1, 2])
    for algorithm in ("bp", "sideways"):
        timeline = Timeline()
        devices = [f"CPU:{n}" for n in range(depth)]
        modules = simulated_modules([seconds] * depth, range(depth), devices, timeline)
        engine = make_stream(algorithm, modules, pixel_error)
        engine.build(tf.TensorSpec(clip.shape[1:], clip.dtype))
        update = StreamUpdate(engine, lambda _: make_optimizer("sgd", zero, zero))
        update(clip)
        timeline.take()
        update(clip)
        events = timeline.take()
        taken = len({e.frame for e in events if e.module == 1 and not e.backward})
        span = events[-1].end - events[0].start
        busy = sum(busy_shares(events, depth)) / depth
        print(
            f"{algorithm:<9} {taken:4d} frames in {steps} computation steps, "
            f"{taken / span:6.1f} frames a second, devices busy {busy:.0%}"
        )


if __name__ == "__main__":
    cli.run(main)

"""Cost of training on a stream, per frame, beside one bare training step of the same network.

    sideways bench stream
    sideways bench stream --simulated=6

Bare: forward, backward and Adam step of the plain Keras network on one batch of frames. Stream:
`SidewaysModel.advance` on a full pipe, so that every module of Sideways is due at every step, those
of blocked BP once in 2D - 1 steps. All take turns in one run, the fastest of all turns counts.

--simulated=D runs both algorithms on D simulated accelerators, one for each of D equal modules, and
counts the frames that each takes in.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sideways_tf.runs import options

if TYPE_CHECKING:
    import tensorflow as tf

LEARNING_RATE = 1e-4
FLAGS, define = options.new_flags()
define("size", 240, "height and width of the frames, in pixels", low=8)
define("batch_size", 1, "frames in a batch", low=1)
define("frames", 22, "steps in one call, in frames", low=1)
define("repeats", 5, "turns", low=1)
define("simulated", 0, "D, simulated accelerators; 0: none", low=0)
define("json", False, "print JSON")


def main() -> None:
    """Print seconds a frame and the ratio to the bare step; or frames on simulated devices."""
    if FLAGS.simulated:
        simulate(FLAGS.simulated, FLAGS.frames)
        return
    import tensorflow as tf

    from sideways_tf.networks import autoencoder
    from sideways_tf.networks.autoencoder import check_size

    check_size(FLAGS.size)
    tf.keras.utils.set_random_seed(0)
    clip = tf.random.uniform([FLAGS.batch_size, FLAGS.frames, FLAGS.size, FLAGS.size, 3])
    calls = {"bare": bare_steps(clip)}
    calls |= {name: stream(name, autoencoder(), clip) for name in ("sideways", "bp")}
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(FLAGS.repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], (time.perf_counter() - start) / FLAGS.frames)
    if FLAGS.json:
        print(json.dumps({f"{name}_seconds_per_frame": value for name, value in best.items()}))
        return
    for name, value in best.items():
        print(f"{name:<9} {1000 * value:8.1f} ms a frame  {value / best['bare']:6.3f} of bare")


def bare_steps(clip: tf.Tensor) -> Callable[[], object]:
    """One ordinary training step for each frame of `clip`; traced and run once."""
    import tensorflow as tf

    from sideways_tf.networks import autoencoder
    from sideways_tf.networks.autoencoder import pixel_error

    model = tf.keras.Sequential(autoencoder())
    model.build([clip.shape[0], *clip.shape[2:]])
    optimizer = tf.keras.optimizers.legacy.Adam(LEARNING_RATE)

    @tf.function
    def step(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(pixel_error(x, model(x, training=True)))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    def run() -> None:
        for x in tf.unstack(clip, axis=1):
            loss = step(x)
        loss.numpy()

    run()
    return run


def stream(
    algorithm: str, layers: Sequence[tf.keras.layers.Layer], clip: tf.Tensor, **places: Any
) -> Callable[[], object]:
    """Learns from all frames of `clip` in one call, on a full pipe; traced and run once."""
    import tensorflow as tf

    from sideways_tf import SidewaysModel
    from sideways_tf.networks.autoencoder import pixel_error

    model = SidewaysModel(layers, algorithm=algorithm, update_every=1, **places)
    model.compile(tf.keras.optimizers.legacy.Adam(LEARNING_RATE), pixel_error)
    model.advance(clip, clip)
    return lambda: model.advance(clip, clip).numpy()


def simulate(depth: int, steps: int) -> None:
    """Print how many frames each algorithm takes in `steps` steps, and in a second."""
    import tensorflow as tf

    from sideways_tf.bench.simulated import allow_sleepers, simulated_modules
    from sideways_tf.bench.timeline import Timeline, busy_shares
    from sideways_tf.plan.devices import split_cpu
    from sideways_tf.plan.times import ModuleTime

    allow_sleepers(depth)
    split_cpu(depth)
    times, devices = [ModuleTime(0.004, 0.004)] * depth, [f"CPU:{n}" for n in range(depth)]
    places = {"devices": ",".join(devices), "placement": "one_per_module"}
    clip = tf.ones([1, steps, 2])
    for algorithm in ("bp", "sideways"):
        timeline = Timeline()
        modules = simulated_modules(times, range(depth), devices, timeline)
        learn = stream(algorithm, [module.layer for module in modules], clip, **places)
        timeline.take()
        learn()
        events = timeline.take()
        taken = len({e.frame for e in events if e.module == 1 and not e.backward})
        span = events[-1].end - events[0].start
        busy = sum(busy_shares(events, depth)) / depth
        print(
            f"{algorithm:<9} {taken:4d} frames in {steps} computation steps, "
            f"{taken / span:6.1f} frames a second, devices busy {busy:.0%}"
        )

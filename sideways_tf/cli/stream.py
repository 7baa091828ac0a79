"""Learn from a stream in real time: a camera, a file or a network stream, updated as it goes.

    sideways stream --source=0 --show
    sideways stream --source=clip.mp4 --output=live.mp4 --workdir=runs/stream
    sideways stream --source=rtsp://HOST/PATH --task=predict --horizon=5

The network takes the newest frame whenever it is free; frames that were replaced unseen are
dropped, nothing queues up. Prints a line a second to stderr, and a line of totals at the end. With
--pace=fast every frame of a file is taken as fast as it can be: the same seed gives the same
numbers, bit for bit. Started again with the same --workdir it goes on (weights, moments, pipe,
counts, place in a file); Ctrl-C saves first.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sideways_tf.disk import full_disk_in_one_line
from sideways_tf.errors import UserError
from sideways_tf.runs import options

if TYPE_CHECKING:
    from sideways_tf.live.folder import Folder
    from sideways_tf.live.run import Run
    from sideways_tf.live.sources import Source
    from sideways_tf.live.tasks import Task
    from sideways_tf.model import SidewaysModel

FLAGS, define = options.new_flags()
define(
    "source", "", "stream: a camera's number, a video, a folder of videos, or a URL (rtsp://...)"
)
define("pace", "real", "stream: by the source's clock; fast: every frame, as fast as it can, BP "
       "drops what its schedule drops; waiting: the source waits, BP takes frame after frame",
       choices=("real", "fast", "waiting"))  # fmt: skip
define("fps", 0.0, "stream: frames per second of a file, or asked of a camera; 0: its own", low=0.0)
define("size", 240, "stream: side of the square that is cut and resized from each frame", low=8)
define("loop", False, "stream: begin again at the end of the files")
define("stall_seconds", 10.0, "stream: give up after so long without a frame", low=0.1)
define("seconds", 0.0, "stream: stop after so long; 0: at the end of the source", low=0.0)
define("task", "reconstruct", "task: show the frame at hand; that --horizon ahead; or its class",
       choices=("reconstruct", "predict", "classify"))  # fmt: skip
define("horizon", 1, "task: of predict, how many frames that were taken in lie between", low=1)
define("labels", "", "task: of classify, a CSV file of lines start,end,label, in seconds")
define("model", "", "model: a Keras model's file; empty: the paper's auto-encoder, or Simple-CNN")
define("modules", 6, "model: into how many modules that file's is cut", low=1)
define("algorithm", "sideways", "model: training algorithm", choices=("sideways", "bp"))
define("update_every", 1, "model: computation steps from one update to the next", low=1)
define("learning_rate", 2e-4, "model: of Adam", low=0.0)
define("devices", "auto", "model: TensorFlow devices for the modules, comma-separated")
define("placement", "balanced", "model: by measured times; one_per_module; or a list of devices")
define("logical_cpus", 1, "model: split the CPU into so many devices", low=1)
define("threads", 0, "model: CPU threads that compute at a time, one for each kernel; 0: as "
       "TensorFlow likes", low=0)  # fmt: skip
define("seed", 0, "model: of the weights", low=0)
define("workdir", "", "run: folder of checkpoints, curves and results, to go on from; empty: none")
define("save_seconds", 300.0, "run: from one save to the next; 0: only at the end", low=0.0)
define("output", "", "run: write input, output and error side by side, .mp4 or .avi")
define("show", False, "run: the same in a window, where there is a display")

# What weights, moments and pipe depend on: a run is gone on with as it was begun.
FACTS = (
    "task",
    "horizon",
    "labels",
    "model",
    "modules",
    "algorithm",
    "update_every",
    "size",
)


def main() -> int:
    """Learn from the stream; returns 0, or 128 and the number of the signal that stopped it."""
    from sideways_tf.live import sources
    from sideways_tf.live.folder import Folder

    check()
    folder = Folder(FLAGS.workdir) if FLAGS.workdir else None
    source = sources.open_source(
        FLAGS.source, rate=FLAGS.fps, loop=FLAGS.loop, stall_seconds=FLAGS.stall_seconds
    )
    if source.has_clock and FLAGS.pace != "real":
        raise UserError(f"--pace={FLAGS.pace}: {source.name} has a clock of its own: leave it out")
    place = folder.path if folder else Path(FLAGS.output).parent
    with full_disk_in_one_line(place, "make room; what was saved before is kept"):
        run = prepare(source, folder)
        try:
            stop = run()
        finally:
            print(run.meter.totals(), flush=True)
            if folder:
                write_results(run, folder)
    return 128 + stop.stopped if stop.stopped else 0


def check() -> None:
    """Refuse flags that do not go together."""
    if FLAGS.task == "predict" and FLAGS.algorithm == "bp" and FLAGS.pace == "fast":
        raise UserError(
            "--pace=fast with --task=predict: blocked BP has no step left in which to look at the "
            "newest frame; give --pace=real, --pace=waiting, or --algorithm=sideways"
        )
    if (FLAGS.task == "classify") != bool(FLAGS.labels):
        raise UserError("--labels=FILE and --task=classify: give both, or none of them")
    if FLAGS.task != "predict" and FLAGS["horizon"].present:
        raise UserError(f"--horizon={FLAGS.horizon} is of --task=predict: leave it out")
    if FLAGS.model and not Path(FLAGS.model).expanduser().exists():
        raise UserError(f"--model={FLAGS.model} is not there: name a file that Keras has saved")
    if FLAGS.task != "classify" and not FLAGS.model:
        from sideways_tf.networks.autoencoder import check_size

        check_size(FLAGS.size)


def prepare(source: Source, folder: Folder | None) -> Run:
    """The model with its pipe, as it was last saved, and all that is around it."""
    from sideways_tf.checkpoints import SaveAndResume
    from sideways_tf.live.kept import Kept
    from sideways_tf.live.run import Options, Run
    from sideways_tf.live.show import Curves

    start_tensorflow()
    task, layers = make_task()
    model = make_model(layers)
    # Only the schedule drops frames where no clock does.
    live = model.live(by_clock=FLAGS.pace != "fast")
    kept = Kept(FLAGS.size, max(3 * model.depth, task.horizon + 1))
    saved, curves = None, None
    shows = open_shows(source)
    if folder:
        folder.claim(facts())
        saved = SaveAndResume(folder.checkpoints, also={"live": live.place, "kept": kept.place})
        saved.set_model(model)
        saved.restore()
        kept.read(source.name)
        curves = Curves(folder.curves)
    told = Options(
        FLAGS.pace, FLAGS.size, FLAGS.fps, FLAGS.stall_seconds, FLAGS.seconds, FLAGS.save_seconds
    )
    return Run(live, task, source, told, kept, saved, shows, curves)


def facts() -> dict[str, Any]:
    """By flag, what a stream has to go on with; BP's pipe at --pace=fast is another one."""
    found = {name: FLAGS[name].value for name in FACTS}
    by_clock = "real or waiting" if FLAGS.pace != "fast" else "fast"
    return {**found, "pace": by_clock} if FLAGS.algorithm == "bp" else found


def start_tensorflow() -> None:
    """Threads, devices and determinism."""
    import tensorflow as tf

    from sideways_tf.plan.devices import split_cpu

    tf.get_logger().setLevel("ERROR")
    if FLAGS.threads:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(FLAGS.threads)
    split_cpu(FLAGS.logical_cpus)
    tf.keras.utils.set_random_seed(FLAGS.seed)
    tf.config.experimental.enable_op_determinism()


def make_task() -> tuple[Task, Any]:
    """The task, and the network that it is learnt with by default: a list of layers."""
    from sideways_tf.live import tasks
    from sideways_tf.live.labels import read_labels
    from sideways_tf.networks import autoencoder, simple_cnn

    labels = read_labels(FLAGS.labels) if FLAGS.labels else None
    layers = simple_cnn(len(labels.names)) if labels else autoencoder()
    depth = FLAGS.modules if FLAGS.model else len(layers)
    late = depth - 1 if FLAGS.algorithm == "bp" and FLAGS.pace == "fast" else 0
    if FLAGS.task == "predict":
        return tasks.Predict(FLAGS.horizon), layers
    return tasks.Classify(labels, late) if labels else tasks.Reconstruct(late), layers


def make_model(layers: Any) -> SidewaysModel:
    """Built and compiled, with an empty pipe."""
    import tensorflow as tf

    from sideways_tf.engines import schedule
    from sideways_tf.model import SidewaysModel
    from sideways_tf.networks.autoencoder import pixel_error

    modules = None
    if FLAGS.model:
        try:
            layers = tf.keras.models.load_model(Path(FLAGS.model).expanduser(), compile=False)
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"--model={FLAGS.model}: Keras cannot load it ({reason})") from None
        modules = FLAGS.modules
    model = SidewaysModel(
        layers, modules, algorithm=FLAGS.algorithm, update_every=FLAGS.update_every,
        devices=FLAGS.devices, placement=FLAGS.placement, seed=FLAGS.seed,
    )  # fmt: skip
    classes = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    loss = classes if FLAGS.task == "classify" else pixel_error
    model.compile(tf.keras.optimizers.legacy.Adam(FLAGS.learning_rate), loss)
    longest = schedule.cycle_length(model.depth) + FLAGS.update_every
    model.build([1, longest, FLAGS.size, FLAGS.size, 3])
    out = model.modules[-1].facts.h_out.shape[1:]
    if FLAGS.task != "classify" and out != [FLAGS.size, FLAGS.size, 3]:
        raise UserError(
            f"--model={FLAGS.model} gives {out} for frames of {[FLAGS.size, FLAGS.size, 3]}: "
            f"--task={FLAGS.task} needs pixels out, as many as go in"
        )
    return model


def open_shows(source: Source) -> list[Any]:
    """What --output and --show ask for."""
    from sideways_tf.live.show import Movie, open_window
    from sideways_tf.live.sources import USUAL_RATE

    found: list[Any] = []
    if FLAGS.output:
        rate = FLAGS.fps or source.rate or USUAL_RATE
        found.append(Movie(FLAGS.output, rate, by_clock=FLAGS.pace == "real"))
    window = open_window() if FLAGS.show else None
    return [*found, *([window] if window else [])]


def write_results(run: Run, folder: Folder) -> None:
    """results.json of --workdir."""
    import tensorflow as tf

    from sideways_tf import __version__
    from sideways_tf.machine import machine_words

    devices = [module.device for module in run.live.model.modules]
    results = {
        **run.results(), "flags": {n: FLAGS[n].value for n in FLAGS}, "modules_on": devices,
        "sideways_tf": __version__, "tensorflow": tf.__version__, "machine": machine_words(),
    }  # fmt: skip
    folder.save_results(results)

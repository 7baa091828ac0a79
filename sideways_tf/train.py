"""Train a video model with Sideways or with BP.

    python -m sideways_tf.train --flagfile=configs/moving_shapes.cfg
    python -m sideways_tf.train --flagfile=configs/ucf_simplecnn.cfg --data_dir=DIR

Started again with the same --workdir, a run goes on where it was stopped.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import time
from typing import TYPE_CHECKING, Any

from absl import flags

from sideways_tf import __version__, cli
from sideways_tf.disk import full_disk_in_one_line
from sideways_tf.errors import UserError
from sideways_tf.machine import machine_words
from sideways_tf.runs import options
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import ADJUSTABLE, RunFolder, open_run
from sideways_tf.runs.from_flags import define_flags
from sideways_tf.runs.workers import watched
from sideways_tf.screen import SCREEN

if TYPE_CHECKING:
    from sideways_tf.runs.loop import Loop

FLAGS = flags.FlagValues()
define_flags(FLAGS)
options.define_screen(FLAGS)
options.define(
    FLAGS, "allow_changed", [], f"run: go on in --workdir although these flags, of "
    f"{', '.join(ADJUSTABLE)}, have other values now, comma-separated",
)  # fmt: skip

PACKAGES = {
    "tensorflow", "tf_keras", "tensorflow-addons", "tensorflow-datasets", "numpy", "opencv-python"
}  # fmt: skip


def main() -> int:
    """Train, test, write results.json; or continue; or show the results that are there.

    Returns 0, or 128 + the number of the signal that stopped the training.
    """
    chosen, folder = open_run(FLAGS)
    results = folder.results(chosen)
    if results:
        said = f"finished already, {folder.path} has the results\n{headline(results)}"
        SCREEN.say("finished", said, workdir=str(folder.path), **results)
        return 0
    remedy = f"make room; what was saved is kept, go on from there by {again(folder)}"
    with full_disk_in_one_line(folder.path, remedy), watched(chosen.workers, again(folder)):
        loop = prepare(chosen, folder)
        train(loop, folder)
        stopped = loop.signals.stopped
        if stopped and loop.done < loop.total:
            said = (
                f"stopped by {stopped.name} at iteration {loop.done} of {loop.total}, saved; "
                f"continue with\n  {again(folder)}"
            )
            facts = {"signal": stopped.name, "iteration": loop.done, "total": loop.total}
            SCREEN.say("stopped", said, workdir=str(folder.path), **facts)
            return 128 + stopped
        report = loop.test()
        folder.finish(summary(chosen, loop, report))
    show(loop, folder, report)
    return 0


def show(loop: Loop, folder: RunFolder, report: Any) -> None:
    """The results, and what to do next."""
    results, names = folder.results() or {}, loop.dataset.class_names
    path, python = shlex.quote(str(folder.path)), shlex.quote(cli.python())
    by_class = "again         " if loop.config.autoencodes else "again by class"
    lines = [
        report.table(names),
        headline(results),
        f"look at the training    {python} -m tensorboard.main --logdir {path}",
        f"test {by_class}     {python} -m sideways_tf.evaluate --workdir={path}",
    ]
    if loop.config.dataset == "moving_shapes":
        lines.append(
            f"then, on real video     {python} -m sideways_tf.train "
            "--flagfile=configs/ucf_simplecnn.cfg --data_dir=DIR"
        )
    facts = {**results, "test": report.as_dict(names)}
    SCREEN.say("result", "\n".join(lines), workdir=str(folder.path), **facts)


def prepare(chosen: Config, folder: RunFolder) -> Loop:
    """Everything that may be refused, then the run's folder: nothing is written before."""
    # TensorFlow takes seconds to import: --help and mistyped flags should not wait for it.
    from sideways_tf.runs import make
    from sideways_tf.runs.loop import Loop

    make.start_tensorflow(chosen)
    make.check(chosen)
    dataset = make.load_dataset(chosen)
    model = make.make_model(chosen, dataset)
    folder.claim(chosen)
    return Loop(chosen, dataset, model, folder)


def train(loop: Loop, folder: RunFolder) -> None:
    """Train to the end, or until a signal says stop.

    Raises:
      UserError: if numbers are not finite.
    """
    from sideways_tf.callbacks import NotFinite

    try:
        loop.train()
    except NotFinite as error:
        lower = f"--learning_rate={loop.config.learning_rate / 10:g}"
        command = f"{again(folder)} {lower} --allow_changed=learning_rate"
        raise UserError(f"{error}, say by {command}") from None


def again(folder: RunFolder) -> str:
    """The shell command that continues the run in `folder`."""
    return shlex.join([cli.python(), "-m", "sideways_tf.train", f"--workdir={folder.path}"])


def summary(chosen: Config, loop: Loop, report: Any) -> dict[str, Any]:
    """What results.json says of a run and of the `report` of its test. Times in seconds."""
    return {
        "configuration": chosen.plain(),
        "seed": chosen.seed,
        "engine": type(loop.model.engine).__name__,
        "devices": [module.device for module in loop.model.modules],
        "iterations": loop.done,
        "changes": loop.folder.changes,
        "train_videos": loop.dataset.num_train,
        "test_videos": report.videos,
        "videos_left_out": len(loop.dataset.failures),
        "train_loss": float(loop.saved.mean_loss),
        **loop.tester.figures(report),
        **_skipped(loop),
        "training_seconds": float(loop.saved.saved_seconds),
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
        "versions": {
            "sideways_tf": __version__,
            "python": platform.python_version(),
            **{d.name: d.version for d in importlib.metadata.distributions() if d.name in PACKAGES},
        },
        "machine": machine_words(),
    }


def _skipped(loop: Loop) -> dict[str, int]:
    """In float16, how many updates were skipped."""
    scale = loop.model.loss_scale
    return {} if scale is None else {"skipped_updates": int(scale.skipped)}


def headline(results: dict[str, Any]) -> str:
    """The test's figures in words."""
    if "test_error" in results:
        said = (
            f"mean squared error {results['test_error']:.5f} of {results['test_videos']} videos "
            f"(floor {results['test_floor']:.5f})"
        )
    else:
        said = (
            f"test accuracy {results['test_video_accuracy']:.1%} of {results['test_videos']} "
            f"videos, {results['test_frame_accuracy']:.1%} of frames"
        )
    return (
        f"{said}, after {results['iterations']} iterations "
        f"and {results['training_seconds']:.0f} s of training"
    )


if __name__ == "__main__":
    cli.run(main)

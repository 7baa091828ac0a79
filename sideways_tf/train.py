"""Train a video model with Sideways or with BP.

    python -m sideways_tf.train --flagfile=configs/moving_shapes.cfg
    python -m sideways_tf.train --flagfile=configs/ucf_simplecnn.cfg --data_dir=DIR

Started again with the same --workdir, a run goes on where it was stopped.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import time
from typing import TYPE_CHECKING, Any

from absl import flags

from sideways_tf import __version__, cli, config
from sideways_tf.config import Config

if TYPE_CHECKING:
    from sideways_tf.report.accuracy import Accuracy
    from sideways_tf.training.loop import Loop
    from sideways_tf.training.run_folder import RunFolder

config.define_flags()
flags.adopt_module_key_flags(config)

PACKAGES = ("tensorflow", "tensorflow-addons", "tensorflow-datasets", "numpy", "opencv-python")


def main() -> int:
    """Train, test, write results.json; or continue; or show the results that are there.

    Returns 0, or 128 + the number of the signal that stopped the training.
    """
    from sideways_tf.training.run_folder import RunFolder, new_run_path

    chosen = config.from_flags()
    folder = RunFolder(chosen.workdir or new_run_path(chosen))
    folder.check(chosen)
    results = folder.results()
    if results and results["configuration"] == plain(chosen):
        print(f"finished already, {folder.path} has the results\n{headline(results)}")
        return 0
    # TensorFlow takes seconds to import: --help and mistyped flags should not wait for it.
    from sideways_tf.training import run
    from sideways_tf.training.loop import Loop

    run.start_tensorflow(chosen)
    run.check(chosen)
    dataset = run.load_dataset(chosen)
    update = run.make_update(chosen, dataset)
    folder.claim(chosen)
    loop = Loop(chosen, dataset, update, folder)
    loop.train()
    if loop.stopped:
        print(
            f"stopped by {loop.stopped.name} at iteration {loop.done} of {loop.total}, saved; "
            f"continue with\n  {command('train', folder)} --flagfile={folder.flags}"
        )
        return 128 + loop.stopped
    accuracy = loop.test()
    folder.finish(summary(chosen, loop, accuracy))
    print(accuracy.table(dataset.class_names))
    print(
        f"{headline(folder.results() or {})}\nlook at the training   tensorboard --logdir "
        f"{folder.path}\ntest again by class    {command('evaluate', folder)}"
    )
    return 0


def command(name: str, folder: RunFolder) -> str:
    """The shell command of an entry point on `folder`."""
    return f"python -m sideways_tf.{name} --workdir={folder.path}"


def summary(chosen: Config, loop: Loop, accuracy: Accuracy) -> dict[str, Any]:
    """What results.json says. Accuracies in [0, 1], losses in nats, times in seconds."""
    return {
        "configuration": plain(chosen),
        "seed": chosen.seed,
        "engine": type(loop.update.engine).__name__,
        "devices": [module.device for module in loop.update.engine.modules],
        "iterations": loop.done,
        "train_videos": loop.dataset.num_train,
        "test_videos": accuracy.videos,
        "videos_left_out": len(loop.dataset.failures),
        "train_loss": loop.final_loss,
        "test_video_accuracy": accuracy.video,
        "test_frame_accuracy": accuracy.frame,
        "test_loss": accuracy.loss,
        "training_seconds": loop.seconds,
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
        "versions": {
            "sideways_tf": __version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "machine": f"{platform.machine()}, {platform.system()}",
    }


def plain(chosen: Config) -> dict[str, Any]:
    """The configuration as JSON gives it back, without the folder."""
    fields = dataclasses.asdict(chosen)
    fields["drop_epochs"] = list(chosen.drop_epochs)
    return {name: value for name, value in fields.items() if name != "workdir"}


def headline(results: dict[str, Any]) -> str:
    """The two accuracies in words."""
    return (
        f"test accuracy {results['test_video_accuracy']:.1%} of {results['test_videos']} videos, "
        f"{results['test_frame_accuracy']:.1%} of frames, after {results['iterations']} iterations "
        f"and {results['training_seconds']:.0f} s of training"
    )


if __name__ == "__main__":
    cli.run(main)

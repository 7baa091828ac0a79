"""Test a run on whole videos, centre crop.

    python -m sideways_tf.evaluate --workdir=runs/NAME

By the mean of the per-frame class probabilities, or the reconstruction error of what a stream
shows. Takes the configuration from the run's folder; --data_dir and --cache_dir may be given anew.
Of classes it also writes which is taken for which, confusion.csv and confusion.png, into the run's
folder or --output_dir; with --videos=train the names are confusion_train.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sideways_tf import cli
from sideways_tf.errors import UserError
from sideways_tf.runs import options
from sideways_tf.runs.checks import check_there
from sideways_tf.runs.folder import RunFolder
from sideways_tf.screen import SCREEN

FLAGS, define = options.new_flags()
define("workdir", "", "run: the folder of the run to test")
define("data_dir", None, "data: where the videos are now")
define("cache_dir", None, "data: where prepared data sets are kept now")
define("videos", "test", "run: train: those that it was trained on, without augmentation",
       choices=("test", "train"))  # fmt: skip
define("output_dir", "", "run: folder for confusion.csv and .png; empty: that of the run")
define("json", False, "run: print the table as JSON, classes by name")
options.define_screen(FLAGS)


def main() -> None:
    """Restore the newest checkpoint, test, print a table by class."""
    check_there("data_dir", FLAGS.data_dir)
    if not FLAGS.workdir:
        raise UserError("--workdir is missing: name the folder of a run, runs/NAME")
    folder = RunFolder(FLAGS.workdir)
    moved = {"data_dir": FLAGS.data_dir, "cache_dir": FLAGS.cache_dir}
    given = {name: value for name, value in moved.items() if value is not None}
    config = dataclasses.replace(folder.config(), **given)
    from sideways_tf.runs import make
    from sideways_tf.runs.testing import make_test

    make.start_tensorflow(config)
    model, dataset, done = make.open_trained(config, folder)
    if FLAGS.videos == "train":
        dataset = dataset.trained_on()
    report = make_test(config, dataset, model, folder).measure()
    said = {"iteration": done, "tested_on": FLAGS.videos, **report.as_dict(dataset.class_names)}
    pictures = [] if config.autoencodes else _confusion(report, dataset.class_names, folder.path)
    if FLAGS.json:
        print(json.dumps(said, indent=2))
        return
    where = "".join(f"\n{path}" for path in pictures)
    of = "" if FLAGS.videos == "test" else ", videos trained on"
    text = f"{folder.path} at iteration {done}{of}\n{report.table(dataset.class_names)}{where}"
    SCREEN.say("result", text, workdir=str(folder.path), files=list(map(str, pictures)), **said)


def _confusion(report: Any, names: Sequence[str], path: Path) -> list[Path]:
    from sideways_tf.report.confusion import write_confusion

    folder = Path(FLAGS.output_dir).expanduser() if FLAGS.output_dir else path
    try:
        name = "confusion" if FLAGS.videos == "test" else "confusion_train"
        return write_confusion(report, names, folder / name)
    except OSError as error:
        raise UserError(f"--output_dir={folder}: cannot be written ({error.strerror})") from None


if __name__ == "__main__":
    cli.run(main)

"""Test a run on whole videos, centre crop.

    python -m sideways_tf.evaluate --workdir=runs/NAME

By the mean of the per-frame class probabilities, or the reconstruction error of what a stream
shows. Takes the configuration from the run's folder; --data_dir and --cache_dir may be given anew.
"""

from __future__ import annotations

import json
import sys

from sideways_tf import cli
from sideways_tf.errors import UserError
from sideways_tf.runs import options

FLAGS, define = options.new_flags()
define("workdir", "", "run: the folder of the run to test")
define("data_dir", None, "data: where the videos are now")
define("cache_dir", None, "data: where prepared data sets are kept now")
define("json", False, "run: print the table as JSON, classes by name")


def main() -> None:
    """Restore the newest checkpoint, test, print a table by class."""
    import dataclasses

    from sideways_tf.runs import make
    from sideways_tf.runs.folder import RunFolder
    from sideways_tf.runs.testing import make_test

    if not FLAGS.workdir:
        raise UserError("--workdir is missing: name the folder of a run, runs/NAME")
    folder = RunFolder(FLAGS.workdir)
    moved = {"data_dir": FLAGS.data_dir, "cache_dir": FLAGS.cache_dir}
    given = {name: value for name, value in moved.items() if value is not None}
    config = dataclasses.replace(folder.config(), **given)
    make.start_tensorflow(config)
    model, dataset, done = make.open_trained(config, folder)
    report = make_test(config, dataset, model, folder).measure()
    if FLAGS.json:
        print(json.dumps({"iteration": done, **report.as_dict(dataset.class_names)}, indent=2))
        return
    print(f"{folder.path} at iteration {done}", file=sys.stderr)
    print(report.table(dataset.class_names))


if __name__ == "__main__":
    cli.run(main)

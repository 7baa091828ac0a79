"""Prepare a data set: archives or unpacked trees in, an ordinary TFDS data set out.

    sideways prepare --dataset=ucf101 --source_dir=DOWNLOADS --data_dir=DATA
    sideways train --dataset=ucf101 --data_dir=DATA

Stopped and started again it continues where it was.
"""

from __future__ import annotations

import time

from sideways_tf.errors import UserError
from sideways_tf.runs import options
from sideways_tf.runs.checks import check_there, check_writable
from sideways_tf.runs.config import DATASETS
from sideways_tf.screen import SCREEN

FLAGS, define = options.new_flags()
define("dataset", "", f"which one: {', '.join(DATASETS)}")
define("source_dir", "", "folder with the archives or what they unpack to")
define("data_dir", "", "folder for the prepared data set")
define("split", 1, "number of the official split")
define("resize", None, "shorter side in pixels (unset: 128, cater 0); 0 keeps the size", kind=int)
define("fps", None, "resample to so many frames a second; unset: take all", low=0.0, kind=float)
define("allow_missing_videos", False, "go on without videos not there")
define("allow_short_videos", False, "take videos that were cut short")
define("skip_unreadable", False, "go on without any number of unreadable videos")
define("strict_data", False, "fail at the first unreadable video")
define("workers", 0, "videos decoded at the same time; 0: all cores", low=0)
define("test_share", 0.3, "folder without a split: share of test")
define("split_seed", 0, "folder without a split: seed of the share")

options.define_screen(FLAGS)


def main() -> None:
    """Prepares the data set of the flags and prints what came of it."""
    if FLAGS.dataset not in DATASETS:
        raise UserError(
            f"--dataset={FLAGS.dataset}: no such data set; give one of {', '.join(DATASETS)}"
        )
    if not FLAGS.data_dir:
        raise UserError("--data_dir is not given: name the folder for the prepared data set")
    check_there("source_dir", FLAGS.source_dir)
    check_writable("data_dir", FLAGS.data_dir)
    # TensorFlow takes seconds to import: --help and mistyped flags should not wait for it.
    from sideways_tf.data.folder import Folder
    from sideways_tf.data.prepare import find_builder, find_source, prepare, quiet_tfds
    from sideways_tf.data.summary import summarise

    cls = find_builder(FLAGS.dataset)
    default = cls.BUILDER_CONFIGS[0].shorter_side
    shorter_side = default if FLAGS.resize is None else FLAGS.resize or None
    config = cls.config_for(FLAGS.split, shorter_side, FLAGS.fps)
    names = ["allow_missing_videos", "allow_short_videos", "skip_unreadable", "strict_data"]
    names += ["test_share", "split_seed"] if issubclass(cls, Folder) else []
    with quiet_tfds():
        builder = cls(
            data_dir=FLAGS.data_dir,
            config=config,
            source_dir=find_source(cls, FLAGS.source_dir, config, "source_dir"),
            workers=FLAGS.workers or None,
            **{name: FLAGS[name].value for name in names},
        )
    if builder.is_prepared():
        raise UserError(f"--data_dir={FLAGS.data_dir}: {cls.name}/{config.name} is there already")
    start = time.monotonic()
    prepare(builder)
    said = summarise(builder, time.monotonic() - start)
    SCREEN.say("result", said, dataset=builder.name, folder=str(builder.data_dir), report=said)

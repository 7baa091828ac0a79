"""Prepare a data set: archives or unpacked trees in, an ordinary TFDS data set out.

    sideways prepare --dataset=ucf101 --source_dir=DOWNLOADS --data_dir=DATA
    sideways train --dataset=ucf101 --data_dir=DATA

Stopped and started again it continues where it was.
"""

from __future__ import annotations

import time
from typing import Any

from sideways_tf.errors import UserError
from sideways_tf.runs import options
from sideways_tf.runs.config import DATASETS

FLAGS, define = options.new_flags()
define("dataset", "", f"which one: {', '.join(DATASETS)}")
define("source_dir", "", "folder with the archives or what they unpack to")
define("data_dir", "", "folder for the prepared data set")
define("split", 1, "number of the official split")
define("resize", None, "shorter side in pixels (unset: 128, cater 0); 0 keeps the size", kind=int)
define("allow_missing_videos", False, "go on without videos not there")
define("strict_data", False, "fail at the first unreadable video")
define("workers", 0, "videos decoded at the same time; 0: all cores", low=0)
define("test_share", 0.3, "folder without a split: share of test")
define("split_seed", 0, "folder without a split: seed of the share")


def main() -> None:
    """Prepares the data set of the flags and prints what came of it."""
    # TensorFlow takes seconds to import: --help and mistyped flags should not wait for it.
    from sideways_tf.data.folder import Folder
    from sideways_tf.data.prepare import find_builder, prepare, quiet_tfds
    from sideways_tf.data.summary import summarise

    cls = find_builder(FLAGS.dataset)
    if not FLAGS.data_dir:
        raise UserError("--data_dir is not given: name the folder for the prepared data set")
    default = cls.BUILDER_CONFIGS[0].shorter_side
    shorter_side = default if FLAGS.resize is None else FLAGS.resize or None
    config = cls.config_for(FLAGS.split, shorter_side)
    arguments: dict[str, Any] = {}
    if issubclass(cls, Folder):
        arguments = {"test_share": FLAGS.test_share, "split_seed": FLAGS.split_seed}
    with quiet_tfds():
        builder = cls(
            data_dir=FLAGS.data_dir,
            config=config,
            source_dir=_source(cls, config),
            allow_missing_videos=FLAGS.allow_missing_videos,
            strict=FLAGS.strict_data,
            workers=FLAGS.workers or None,
            **arguments,
        )
    if builder.is_prepared():
        raise UserError(f"--data_dir={FLAGS.data_dir}: {cls.name}/{config.name} is there already")
    start = time.monotonic()
    prepare(builder)
    print(summarise(builder, time.monotonic() - start))


def _source(cls: Any, config: Any) -> Any:
    from sideways_tf.data.prepare import find_source

    if cls.LAYOUT and not FLAGS.source_dir:
        raise UserError("--source_dir is not given: name the folder with the archives or videos")
    try:
        return find_source(cls, FLAGS.source_dir, config)
    except UserError as error:
        raise UserError(str(error).replace("--data_dir", "--source_dir")) from error

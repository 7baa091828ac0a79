"""Prepare a data set: archives or unpacked trees in, an ordinary TFDS data set out.

    python tools/prepare_dataset.py --dataset=ucf101 --source_dir=DOWNLOADS --data_dir=DATA
    python -m sideways_tf.train --dataset=ucf101 --data_dir=DATA

Stopped and started again it continues where it was.
"""

import sys
import time
from pathlib import Path
from typing import Any

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sideways_tf import cli
from sideways_tf.data.folder import TEST_SHARE, Folder
from sideways_tf.data.prepare import BUILDERS, find_builder, find_source, prepare, quiet_tfds
from sideways_tf.data.summary import summarise
from sideways_tf.data.video_builder import SHORTER_SIDE
from sideways_tf.errors import UserError

_DATASET = flags.DEFINE_string("dataset", "", f"which one: {', '.join(BUILDERS)}")
_SOURCE = flags.DEFINE_string("source_dir", "", "folder with the archives or what they unpack to")
_DATA = flags.DEFINE_string("data_dir", "", "folder for the prepared data set")
_SPLIT = flags.DEFINE_integer("split", 1, "number of the official split")
_RESIZE = flags.DEFINE_integer(
    "resize", None, f"shorter side in pixels (unset: {SHORTER_SIDE}, cater 0); 0 keeps the size"
)
_FPS = flags.DEFINE_float("fps", None, "resample to so many frames a second; unset: take all", 0.0)
_MISSING = flags.DEFINE_bool("allow_missing_videos", False, "go on without videos not there")
_SHORT = flags.DEFINE_bool("allow_short_videos", False, "take videos that were cut short")
_SKIP = flags.DEFINE_bool("skip_unreadable", False, "go on without any number of unreadable videos")
_STRICT = flags.DEFINE_bool("strict_data", False, "fail at the first unreadable video")
_WORKERS = flags.DEFINE_integer("workers", 0, "videos decoded at the same time; 0: all cores")
_TEST_SHARE = flags.DEFINE_float("test_share", TEST_SHARE, "folder without a split: share of test")
_SEED = flags.DEFINE_integer("split_seed", 0, "folder without a split: seed of the share")


def main() -> None:
    """Prepares the data set of the flags and prints what came of it."""
    cls = find_builder(_DATASET.value)
    if not _DATA.value:
        raise UserError("--data_dir is not given: name the folder for the prepared data set")
    if _WORKERS.value < 0:
        raise UserError(f"--workers={_WORKERS.value}: give 0 for all cores, or a number from 1")
    default = cls.BUILDER_CONFIGS[0].shorter_side
    shorter_side = default if _RESIZE.value is None else _RESIZE.value or None
    config = cls.config_for(_SPLIT.value, shorter_side, _FPS.value)
    arguments: dict[str, Any] = {}
    if issubclass(cls, Folder):
        arguments = {"test_share": _TEST_SHARE.value, "split_seed": _SEED.value}
    with quiet_tfds():
        builder = cls(
            data_dir=_DATA.value,
            config=config,
            source_dir=find_source(cls, _SOURCE.value, config, "source_dir"),
            allow_missing_videos=_MISSING.value,
            allow_short_videos=_SHORT.value,
            skip_unreadable=_SKIP.value,
            strict_data=_STRICT.value,
            workers=_WORKERS.value or None,
            **arguments,
        )
    if builder.is_prepared():
        raise UserError(f"--data_dir={_DATA.value}: {cls.name}/{config.name} is there already")
    start = time.monotonic()
    prepare(builder)
    print(summarise(builder, time.monotonic() - start))


if __name__ == "__main__":
    cli.run(main)

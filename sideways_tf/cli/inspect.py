"""Draw a contact sheet of what the network will see: clips as sampled, cropped, flipped, padded.

    sideways inspect --dataset=moving_shapes --output=clips.png
    sideways inspect --flagfile=configs/ucf_simplecnn.cfg --data_dir=DATA

Takes the flags of training; each row is a clip, from its first frame to its last. --motion prints
instead how much the pixels of the training videos change from frame to frame (centre crop).
"""

from __future__ import annotations

import os

import cv2
import numpy as np

from sideways_tf.errors import UserError
from sideways_tf.report.caption import caption
from sideways_tf.report.motion import motion_table
from sideways_tf.report.table import Table
from sideways_tf.runs import options
from sideways_tf.runs.config import Config
from sideways_tf.runs.from_flags import define_flags, from_flags

FLAGS, define = options.new_flags()
define_flags(FLAGS)
define("output", "clips.png", "file to write, *.png")
define("epoch", 0, "of which the first batch is shown, from 0", low=0)
define("motion", False, "print the change of pixels instead of drawing")
define("columns", 12, "frames shown of a clip, evenly apart", low=1)


def main() -> None:
    """Writes the sheet and says where; or prints the motion."""
    from sideways_tf.runs import make

    chosen = from_flags(FLAGS)
    if FLAGS.motion:
        print(_motion(chosen).markdown())
        return
    folder = os.path.dirname(FLAGS.output) or "."
    if not FLAGS.output.endswith(".png") or not os.path.isdir(folder):
        raise UserError(f"--output={FLAGS.output}: give a *.png in a folder that is there")
    dataset = make.load_dataset(chosen)
    batches = dataset.train_batches(
        make.clip_of(chosen), seed=chosen.seed, epoch=FLAGS.epoch, batch_size=chosen.batch_size
    )
    clips, labels = next(batches.as_numpy_iterator())
    names = [dataset.class_names[label] for label in labels]
    sheet, shown = contact_sheet(clips, names, FLAGS.columns)
    if not cv2.imwrite(FLAGS.output, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise UserError(f"--output={FLAGS.output}: cannot be written")
    print(f"{FLAGS.output}: {len(names)} clips, frames {', '.join(str(k + 1) for k in shown)}")


def _motion(chosen: Config) -> Table:
    """Of the training videos, at the size and stride of the flags."""
    from sideways_tf.runs import make

    dataset = make.load_dataset(chosen)
    videos = dataset.train_videos(make.clip_of(chosen)).as_numpy_iterator()
    side, stride = chosen.size, chosen.stride
    title = f"{dataset.name}, {dataset.num_train} training videos, {side}x{side}, stride {stride}"
    return motion_table(title, (frames for frames, *_ in videos))


def contact_sheet(
    clips: np.ndarray, names: list[str], columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """A row for each clip under its class name.

    Args:
        clips: float32 [B, K, H, W, 3] in [0, 1].
        names: of the B classes.
        columns: frames of a row, at most K of them.

    Returns:
        uint8 [rows, columns, 3] RGB, and the indices of the frames shown, from 0.
    """
    num_frames = clips.shape[1]
    shown = np.unique(np.linspace(0, num_frames - 1, columns).round().astype(int))
    rows = []
    for clip, name in zip(clips[:, shown], names, strict=True):
        row = np.concatenate(list(clip), axis=1)
        rows += [caption(name, row.shape[1]), (row * 255).round().astype(np.uint8)]
    return np.concatenate(rows), shown

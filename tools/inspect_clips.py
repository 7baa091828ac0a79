"""Draw a contact sheet of what the network will see: clips as sampled, cropped, flipped, padded.

    python tools/inspect_clips.py --dataset=moving_shapes --output=clips.png
    python tools/inspect_clips.py --flagfile=configs/ucf_simplecnn.cfg --data_dir=DATA

Takes the flags of training; each row is a clip, from its first frame to its last.
"""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sideways_tf import cli, config
from sideways_tf.errors import UserError

config.define_flags()
flags.adopt_module_key_flags(config)
_OUTPUT = flags.DEFINE_string("output", "clips.png", "file to write, *.png")
_EPOCH = flags.DEFINE_integer("epoch", 0, "of which the first batch is shown, from 0", 0)
_COLUMNS = flags.DEFINE_integer("columns", 12, "frames shown of a clip, evenly apart", 1)

CAPTION = 16  # pixels above each row


def main() -> None:
    """Writes the sheet and says where."""
    from sideways_tf.training import run

    chosen = config.from_flags()
    folder = os.path.dirname(_OUTPUT.value) or "."
    if not _OUTPUT.value.endswith(".png") or not os.path.isdir(folder):
        raise UserError(f"--output={_OUTPUT.value}: give a *.png in a folder that is there")
    dataset = run.load_dataset(chosen)
    batches = dataset.train_batches(
        run.clip(chosen), seed=chosen.seed, epoch=_EPOCH.value, batch_size=chosen.batch_size
    )
    clips, labels = next(batches.as_numpy_iterator())
    names = [dataset.class_names[label] for label in labels]
    sheet, shown = contact_sheet(clips, names, _COLUMNS.value)
    if not cv2.imwrite(_OUTPUT.value, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise UserError(f"--output={_OUTPUT.value}: cannot be written")
    print(f"{_OUTPUT.value}: {len(names)} clips, frames {', '.join(str(k + 1) for k in shown)}")


def contact_sheet(
    clips: np.ndarray, names: list[str], columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """A row for each clip under its class name.

    Args:
        clips: float32 [K, B, H, W, 3] in [0, 1].
        names: of the B classes.
        columns: frames of a row, at most K of them.

    Returns:
        uint8 [rows, columns, 3] RGB, and the indices of the frames shown, from 0.
    """
    num_frames = len(clips)
    shown = np.unique(np.linspace(0, num_frames - 1, columns).round().astype(int))
    rows = []
    for clip, name in zip(clips[shown].swapaxes(0, 1), names, strict=True):
        row = np.concatenate(list(clip), axis=1)
        caption = np.ones((CAPTION, row.shape[1], 3), np.float32)
        cv2.putText(caption, name, (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1)
        rows += [caption, row]
    return (np.concatenate(rows) * 255).round().astype(np.uint8), shown


if __name__ == "__main__":
    cli.run(main)

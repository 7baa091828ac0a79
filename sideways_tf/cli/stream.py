"""Learn from a stream of frames, one after the other: an auto-encoder, updated as it goes.

    sideways stream --source=clip.mp4 --output=live.mp4
    sideways stream --source=FOLDER --algorithm=bp --workdir=runs/stream

Takes every frame of a video, or of all videos of a folder by name, as fast as it can, and shows at
each step what the network makes of the stream. Prints a line a second: frames taken, updates of
module 1, frames a second, and the mean squared error of what is shown against the frame at hand.
With the same seed the same numbers, bit for bit. Started again with the same --workdir it goes on
learning; Ctrl-C saves first.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sideways_tf.errors import UserError
from sideways_tf.runs import options

if TYPE_CHECKING:
    from sideways_tf.callbacks import SaveAndResume
    from sideways_tf.model import SidewaysModel

FLAGS, define = options.new_flags()
define("source", "", "stream: a video, or a folder of videos")
define("size", 112, "stream: side of the square that is cut and resized from each frame", low=8)
define("algorithm", "sideways", "model: training algorithm", choices=("sideways", "bp"))
define("update_every", 1, "model: computation steps from one update to the next", low=1)
define("learning_rate", 2e-4, "model: of Adam", low=0.0)
define("devices", "auto", "model: TensorFlow devices for the modules, comma-separated")
define("logical_cpus", 1, "model: split the CPU into so many devices", low=1)
define("seed", 0, "model: of the weights", low=0)
define("workdir", "", "run: folder of checkpoints, to go on from; empty: none")
define("output", "", "run: write what goes in beside what is shown, .mp4, .avi or .gif")


def main() -> int:
    """Learn from the whole source; returns 0, or 130 after Ctrl-C."""
    files = _files()
    model, saved = _model()
    shown: list[np.ndarray] = []
    stream, started = _Stream(model), time.monotonic()
    stopped = False
    try:
        said = started
        for frame in itertools.chain.from_iterable(map(_squares, files)):
            stream.take(frame)
            if FLAGS.output and stream.output is not None:
                shown.append(np.concatenate([frame, stream.output], axis=1))
            if time.monotonic() - said >= 1:
                said = time.monotonic()
                print(stream.words(said - started), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        stopped = True
    if saved and stream.taken:
        saved.save()
    if FLAGS.output and shown:
        from sideways_tf.report.reconstruction_pictures import write_animation

        write_animation(Path(FLAGS.output), shown)
    print(stream.words(time.monotonic() - started))
    return 130 if stopped else 0


class _Stream:
    """The model with its stream, and what came of it.

    Attributes:
      taken: frames so far.
      output: what the network shows now, uint8 [size, size, 3]; None before the first output.
    """

    def __init__(self, model: SidewaysModel):
        self.model, self.taken = model, 0
        self.output: np.ndarray | None = None
        self._error, self._shown, self._learnt = 0.0, 0, 0
        self._waiting: list[np.ndarray] = []
        # y^t: in Sideways the current frame; in BP that of the frame it has taken.
        late = model.depth - 1 if FLAGS.algorithm == "bp" else 0
        self._targets: deque[np.ndarray] = deque(maxlen=late + 1)

    def take(self, frame: np.ndarray) -> None:
        """One computation step; the updates of L steps come together."""
        from sideways_tf.report.reconstruction_pictures import to_pixels

        pixels = frame.astype(np.float32) / 255.0
        self._targets.append(pixels)
        self._waiting.append(np.stack([pixels, self._targets[0]]))
        self.taken += 1
        if len(self._waiting) < FLAGS.update_every:
            return
        both = np.stack(self._waiting, axis=1)[:, np.newaxis]
        self._waiting = []
        self.model.advance(both[0], both[1])
        self._learnt += int(self.model.monitor.updates[0])
        if self.taken >= self.model.depth:
            found = np.asarray(self.model.modules[-1].activation)[0]
            self._error += float(np.mean((found - pixels) ** 2))
            self._shown += 1
            self.output = to_pixels(found)

    def words(self, seconds: float) -> str:
        """What came of it so far, in a line."""
        error = f"{self._error / self._shown:.5f}" if self._shown else "none yet"
        return (
            f"{self.taken} frames, {self._learnt} updates of module 1, "
            f"{self.taken / max(seconds, 1e-9):.1f} frames/s, mean squared error {error}"
        )


def _files() -> list[Path]:
    """The videos of --source."""
    if not FLAGS.source:
        raise UserError("--source is missing: name a video, or a folder of videos")
    source = Path(FLAGS.source).expanduser()
    if not source.exists():
        raise UserError(f"--source={source} is not there: name a video, or a folder of videos")
    if source.is_file():
        return [source]
    files = [file for file in sorted(source.iterdir()) if file.is_file()]
    return [file for file in files if not file.name.startswith(".")]


def _squares(path: Path) -> Iterator[np.ndarray]:
    """The centre square of each frame at --size, uint8 [size, size, 3] RGB."""
    from sideways_tf.data.video_files import VideoError, VideoFile, resize_shorter_side

    try:
        for frame in VideoFile(path).frames():
            small = resize_shorter_side(frame, FLAGS.size)
            top, left = ((side - FLAGS.size) // 2 for side in small.shape[:2])
            yield small[top : top + FLAGS.size, left : left + FLAGS.size]
    except VideoError as error:
        raise UserError(f"{path}: {error}") from None


def _model() -> tuple[SidewaysModel, SaveAndResume | None]:
    """The auto-encoder with an empty pipe, as it was last saved; and what saves it."""
    import tensorflow as tf

    from sideways_tf.callbacks import SaveAndResume
    from sideways_tf.engines import schedule
    from sideways_tf.model import SidewaysModel
    from sideways_tf.networks.autoencoder import autoencoder, check_size, pixel_error
    from sideways_tf.plan.devices import split_cpu

    check_size(FLAGS.size)
    split_cpu(FLAGS.logical_cpus)
    tf.keras.utils.set_random_seed(FLAGS.seed)
    tf.config.experimental.enable_op_determinism()
    placed: dict[str, Any] = {"devices": FLAGS.devices, "placement": "one_per_module"}
    every = FLAGS.update_every
    model = SidewaysModel(
        autoencoder(), algorithm=FLAGS.algorithm, update_every=every, seed=FLAGS.seed, **placed
    )
    model.compile(tf.keras.optimizers.legacy.Adam(FLAGS.learning_rate), pixel_error)
    longest = schedule.cycle_length(model.depth) + every
    model.build([1, longest, FLAGS.size, FLAGS.size, 3])
    saved = None
    if FLAGS.workdir:
        saved = SaveAndResume(Path(FLAGS.workdir).expanduser() / "checkpoints")
        saved.set_model(model)
        saved.restore()
    model.restart(1)
    return model, saved

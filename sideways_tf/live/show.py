"""What is seen of a stream: a video, a window, curves. Each shows one view after the other."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from sideways_tf.errors import UserError
from sideways_tf.report.caption import caption
from sideways_tf.report.reconstruction_pictures import tile

if TYPE_CHECKING:
    import tensorflow as tf

CODES = {".mp4": "mp4v", ".avi": "MJPG"}
TITLE = "sideways stream (q ends)"
PICTURE_SECONDS = 10.0  # from one picture in TensorBoard to the next


class Shows(Protocol):
    """Something that shows."""

    def show(self, picture: np.ndarray) -> None:
        """uint8 [H, W, 3] RGB: the frame, what is shown, and how they differ."""

    def close(self) -> None:
        """End it properly, whatever ended the stream."""


def view(pictures: list[np.ndarray], words: str) -> np.ndarray:
    """Pictures [S, S, 3] side by side, the counts above them."""
    row = tile([pictures])
    return np.concatenate([caption(words, row.shape[1]), row])


class Movie:
    """Writes a video; it has its name once it is whole.

    Args:
      rate: frames per second.
      by_clock: pictures are repeated or left out so that it plays as fast as it was; else each is
        written once.

    Raises:
      UserError: if the name ends otherwise than .mp4 or .avi, or cannot be written.
    """

    def __init__(self, path: str, rate: float, by_clock: bool):
        self._path = Path(path).expanduser()
        self._rate, self._by_clock = rate, by_clock
        if self._path.suffix not in CODES:
            raise UserError(f"--output={path}: a stream is written as {' or '.join(CODES)}")
        if not self._path.parent.is_dir():
            raise UserError(f"--output={path}: there is no folder {self._path.parent}")
        self._part = self._path.with_name(f"{self._path.stem}.part{self._path.suffix}")
        self._writer: cv2.VideoWriter | None = None
        self._started, self._written = 0.0, 0

    def show(self, picture: np.ndarray) -> None:
        height, width = (side - side % 2 for side in picture.shape[:2])  # coders want even sides
        if self._writer is None:
            self._open(width, height)
            self._started = time.monotonic()
        assert self._writer is not None
        due = int((time.monotonic() - self._started) * self._rate) + 1
        for _ in range(due - self._written if self._by_clock else 1):
            self._writer.write(np.ascontiguousarray(picture[:height, :width, ::-1]))
            self._written += 1

    def _open(self, width: int, height: int) -> None:
        code = cv2.VideoWriter.fourcc(*CODES[self._path.suffix])
        self._writer = cv2.VideoWriter(str(self._part), code, self._rate, (width, height))
        if not self._writer.isOpened():
            raise UserError(f"--output={self._path}: cannot be written")

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
            os.replace(self._part, self._path)
            self._writer = None


class Window:
    """A window on this machine's display. `closed` once q was pressed."""

    def __init__(self) -> None:
        self.closed = False
        cv2.namedWindow(TITLE, cv2.WINDOW_AUTOSIZE)

    def show(self, picture: np.ndarray) -> None:
        cv2.imshow(TITLE, np.ascontiguousarray(picture[..., ::-1]))
        self.closed = self.closed or cv2.waitKey(1) & 0xFF == ord("q")

    def close(self) -> None:
        cv2.destroyAllWindows()


def open_window() -> Window | None:
    """A window; where there can be none, one line that says why."""
    reason = ""
    if sys.platform == "linux" and not (os.getenv("DISPLAY") or os.getenv("WAYLAND_DISPLAY")):
        reason = "there is no display (DISPLAY is unset)"  # Qt would end the process.
    try:
        if not reason:
            return Window()
    except cv2.error:
        reason = "this build of OpenCV has no windows (opencv-python-headless)"
    print(f"--show: no window: {reason}; --output=live.mp4 writes it", file=sys.stderr, flush=True)
    return None


class Curves:
    """TensorBoard: curves by computation step, and now and then a picture."""

    def __init__(self, folder: Path):
        import tensorflow as tf

        self._writer: tf.summary.SummaryWriter = tf.summary.create_file_writer(str(folder))
        self._pictured = -PICTURE_SECONDS

    @property
    def wants_picture(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._pictured >= PICTURE_SECONDS

    def point(self, step: int, values: dict[str, float], picture: np.ndarray | None) -> None:
        """One point of each curve, where there is one."""
        import tensorflow as tf

        with self._writer.as_default(step):
            for name, value in values.items():
                if value == value:
                    tf.summary.scalar(name, value)
            if picture is not None:
                self._pictured = time.monotonic()
                tf.summary.image("stream", picture[np.newaxis])

    def close(self) -> None:
        self._writer.close()

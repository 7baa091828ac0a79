"""Where frames come from: files, a camera, a network stream. uint8 [H, W, 3] RGB, one by one."""

from __future__ import annotations

import abc
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from sideways_tf.data.video_files import VideoError, VideoFile, resize_shorter_side
from sideways_tf.errors import UserError

USUAL_RATE = 25.0  # frames per second, of a source that says none
_URL = re.compile(r"[a-z][a-z0-9+.]+://")


class Source(abc.ABC):
    """Frames in their order.

    Attributes:
      name: as the user gave it.
      rate: frames per second by its own clock; 0 where it says none.
      has_clock: whether frames come by themselves, and are gone when nobody takes them.
    """

    name: str
    rate = 0.0
    has_clock = False

    @abc.abstractmethod
    def frames(self, skip: int = 0) -> Iterator[np.ndarray]:
        """Every frame, uint8 [H, W, 3] RGB, from the `skip`-th on, where it can go back to one.

        Raises:
          UserError: if it cannot be read, or changes the size of its frames.
        """

    def close(self) -> None:  # noqa: B027, files hold nothing open
        """Give back what it holds open."""


def open_source(given: str, *, rate: float, loop: bool, stall_seconds: float) -> Source:
    """The source that `--source` says: a camera's number, a URL, a video, a folder of videos.

    Args:
      rate: frames per second that a camera is asked for; 0: what it likes.
      loop: begin again at the end of the files.
      stall_seconds: after which a network stream that sends nothing is given up.

    Raises:
      UserError: if it is missing, not there, or cannot be opened.
    """
    if not given:
        raise UserError("--source is missing: name a video, a folder, a camera (0), or a URL")
    if given.isdecimal():
        return Camera(int(given), rate)
    if _URL.match(given):
        return Url(given, stall_seconds)
    path = Path(given).expanduser()
    if not path.exists():
        raise UserError(f"--source={path} is not there: name a video, or a folder of videos")
    if path.is_file():
        return Files(given, [path], loop)
    files = [file for file in sorted(path.iterdir()) if file.is_file()]
    files = [file for file in files if not file.name.startswith(".")]
    if not files:
        raise UserError(f"--source={path} is an empty folder: name one that holds videos")
    return Files(given, files, loop)


class Files(Source):
    """Videos one after the other, each to its end; again and again with `loop`."""

    def __init__(self, name: str, files: Sequence[Path], loop: bool = False):
        self.name, self._files, self._loop = name, list(files), loop
        self.rate = self._open(self._files[0]).header.rate

    def frames(self, skip: int = 0) -> Iterator[np.ndarray]:
        passes = itertools.count() if self._loop else range(1)
        every = itertools.chain.from_iterable(
            self._file(path) for _ in passes for path in self._files
        )
        return itertools.islice(every, skip, None)

    def _file(self, path: Path) -> Iterator[np.ndarray]:
        try:
            yield from of_one_size(self._open(path).frames(), str(path))
        except VideoError as error:
            raise UserError(f"{path}: {error}") from None

    @staticmethod
    def _open(path: Path) -> VideoFile:
        try:
            return VideoFile(path)
        except VideoError as error:
            raise UserError(f"{path}: {error}") from None


class Camera(Source):
    """A camera of this machine, by its number, through OpenCV."""

    has_clock = True

    def __init__(self, number: int, rate: float = 0.0):
        self.name = str(number)
        # Where there is none OpenCV would print pages of its own.
        there = sys.platform != "linux" or Path(f"/dev/video{number}").exists()
        self._capture = cv2.VideoCapture(number) if there else cv2.VideoCapture()
        if not self._capture.isOpened():
            raise UserError(
                f"--source={number}: camera {number} cannot be opened; is it there, and free?"
            )
        if rate:
            self._capture.set(cv2.CAP_PROP_FPS, rate)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # The newest frame, not a queue.
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or rate

    def frames(self, skip: int = 0) -> Iterator[np.ndarray]:
        return of_one_size(self._read(), f"camera {self.name}")

    def _read(self) -> Iterator[np.ndarray]:
        for count in itertools.count():
            there, frame = self._capture.read()
            if not there:
                raise UserError(f"camera {self.name} stopped after {count} frames")
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        self._capture.release()


class Url(Source):
    """A network stream, rtsp://, http:// and what else FFmpeg opens, through PyAV."""

    has_clock = True

    def __init__(self, url: str, stall_seconds: float):
        self.name = url
        options = {"rtsp_transport": "tcp"} if url.startswith("rtsp") else {}
        try:
            self._container = av.open(url, options=options, timeout=stall_seconds)
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, OSError, ValueError) as error:
            raise UserError(f"--source={url}: cannot be opened ({_reason(error)})") from None
        except IndexError:
            raise UserError(f"--source={url}: holds no video") from None
        self.rate = float(self._stream.average_rate or 0)

    def frames(self, skip: int = 0) -> Iterator[np.ndarray]:
        return of_one_size(self._read(), self.name)

    def _read(self) -> Iterator[np.ndarray]:
        count = 0
        try:
            for frame in self._container.decode(self._stream):
                count += 1
                yield frame.to_ndarray(format="rgb24")
        except (av.FFmpegError, OSError) as error:
            reason = _reason(error)
            raise UserError(f"{self.name} stopped after {count} frames ({reason})") from None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).strip().splitlines()[0]


def of_one_size(frames: Iterable[np.ndarray], name: str) -> Iterator[np.ndarray]:
    """`frames`, as long as they are of one size: another cut is another picture.

    Raises:
      UserError: at the first frame of another size.
    """
    shape: tuple[int, ...] = ()
    for number, frame in enumerate(frames, 1):
        if shape and frame.shape != shape:
            now, before = (f"{of[1]}x{of[0]}" for of in (frame.shape, shape))
            raise UserError(
                f"{name}: frame {number} is of {now} pixels, those before it were of {before}"
            )
        shape = frame.shape
        yield frame


def square(frame: np.ndarray, size: int) -> np.ndarray:
    """The middle of a frame, its shorter side resized to `size`: uint8 [size, size, 3]."""
    small = resize_shorter_side(frame, size)
    top, left = ((side - size) // 2 for side in small.shape[:2])
    return np.ascontiguousarray(small[top : top + size, left : left + size])

"""Phases *decode* and *resize*: one video file -> RGB frames, as a player shows them."""

import itertools
import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import cv2
import numpy as np

from sideways_tf.data.containers import stated_size
from sideways_tf.data.video_header import as_shown, read_header

# The mean error of a real frame is about 1.5 grey levels; 4:2:0 chroma is what the sources have.
JPEG_QUALITY = 95
# Of a video whose index says more seconds than are decoded: what rounding and edits may take.
_SLACK_SECONDS, _SLACK_SHARE = 0.5, 0.05
_ROUNDING = 1e-4  # seconds
_LONGEST = 1e9  # seconds
_LARGEST = 2_000_000_000  # bytes of a video: what an example of TensorFlow can hold
_USUAL_RATE = 25.0  # frames per second, of a file that says none

Timed = Iterator[tuple[float, np.ndarray]]
"""Seconds from the start, and a frame uint8 [H, W, 3] RGB as it is stored."""


@dataclass(frozen=True)
class Decoded:
    """A decoded video: its frames as JPEG strings, all of `height` x `width` pixels.

    Attributes:
        rate: mean frames per second of the file; 0 where unknown or drawn.
        pixel_aspect: width over height of its pixels.
        cut_short: why it is known to hold less than it should, or empty.
    """

    jpegs: list[bytes]
    height: int
    width: int
    rate: float = 0.0
    pixel_aspect: float = 1.0
    cut_short: str = ""


class VideoError(Exception):
    """Why one video cannot be used; the message is the reason, without the file's name."""


class VideoFile:
    """One video file, looked at but not yet decoded.

    Attributes:
        header: see `Header`.
        cut_short: why it is known to hold less than it should; empty where nothing says so.

    Raises:
        VideoError: the file is missing, empty, or cut short where that is not allowed.
    """

    def __init__(self, path: str | os.PathLike[str], *, allow_short: bool = False):
        self._path = os.fspath(path)
        self._allow_short = allow_short
        self.cut_short = ""
        try:
            with open(path, "rb") as file:
                size, stated = os.path.getsize(path), stated_size(file)
        except OSError as error:
            raise VideoError(f"cannot be read ({error.strerror})") from error
        if size == 0:
            raise VideoError("the file is empty")
        try:
            self._path.encode()
        except UnicodeEncodeError as error:
            raise VideoError("its name is not UTF-8; rename it") from error
        if stated > size:
            self._note_cut(f"it holds {size} of {stated} bytes or more")
        self.header = read_header(path)

    def frames(self, rate: float | None = None) -> Iterator[np.ndarray]:
        """Yields every frame, uint8 [H, W, 3] RGB, until the decoder has no more.

        The header's frame count is never asked: in many UCF101 and in all HMDB51 files it is
        wrong.

        Args:
            rate: frames per second to resample to, by the time of each frame; None keeps all.

        Raises:
            VideoError: it holds no frame that can be decoded, or less than its index says.
        """
        timed = self._timed()
        for frame in (frame for _, frame in timed) if rate is None else resample(timed, rate):
            yield as_shown(frame, self.header.matrix)

    def _timed(self) -> Timed:
        count, last = 0, 0.0
        # What OpenCV's build lacks, AV1 in some versions, the other one may have.
        for decode in (_decode_by_opencv, _decode_by_av):
            for last, frame in decode(self._path):
                count += 1
                yield last, frame
            if count:
                break
        else:
            raise VideoError(self._why_nothing())
        missing = self.header.seconds - last - last / max(1, count - 1)
        if self.header.seconds and missing > max(
            _SLACK_SECONDS, _SLACK_SHARE * self.header.seconds
        ):
            self._note_cut(f"it ends after {last:.1f} of {self.header.seconds:.1f} seconds")

    def _note_cut(self, detail: str) -> None:
        self.cut_short = self.cut_short or f"the file is cut short: {detail}"
        if not self._allow_short:
            raise VideoError(self.cut_short)

    def _why_nothing(self) -> str:
        if "video" in self.header.streams:
            codec = self.header.codec or "unknown"
            new = os.path.splitext(self._path)[0] + "-h264.mp4"
            return (
                f"its video, of codec {codec}, cannot be decoded here; convert it: "
                f"{shlex.join(['ffmpeg', '-i', self._path, '-c:v', 'libx264', new])}"
            )
        return "holds no video, only sound" if self.header.streams else "not a video"


def _decode_by_opencv(path: str) -> Timed:
    # One decoder thread each: videos are decoded in parallel, which scales better than frames.
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    # Some versions turn frames by themselves, others do not.
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    rate = capture.get(cv2.CAP_PROP_FPS) or _USUAL_RATE
    try:
        for count in itertools.count():
            decoded, frame = capture.read()
            if not decoded:
                return
            seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if abs(seconds) > _LONGEST:  # the file says nothing of the frame's time
                seconds = count / rate
            yield seconds, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def _decode_by_av(path: str) -> Timed:
    try:
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for frame in container.decode(stream):
                pixels = frame.to_ndarray(format="rgb24", interpolation="BICUBIC")
                yield frame.time or 0.0, pixels
    except (av.FFmpegError, IndexError, AttributeError):
        return  # nothing that can be decoded, or no more of it


def resample(timed: Iterable[tuple[float, np.ndarray]], rate: float) -> Iterator[np.ndarray]:
    """At every 1 / `rate` seconds from the first frame on, the frame that is shown then."""
    shown, start, seconds, count = None, 0.0, 0.0, 0
    for seconds, frame in timed:
        if shown is None:
            start = seconds
        while shown is not None and start + count / rate < seconds - _ROUNDING:
            count += 1
            yield shown
        shown = frame
    if shown is not None and start + count / rate < seconds + _ROUNDING:
        yield shown


def resize_shorter_side(frame: np.ndarray, shorter_side: int | None) -> np.ndarray:
    """Resizes uint8 [H, W, 3] to min(H, W) = shorter_side, aspect kept; None leaves it."""
    if shorter_side is None:
        return frame
    height, width = frame.shape[:2]
    scale = shorter_side / min(height, width)
    if scale == 1:
        return frame
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Averaging the area is the one that does not alias when a frame gets smaller.
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(frame, size, interpolation=method)


def encode(frames: Iterable[np.ndarray], shorter_side: int | None) -> Decoded:
    """Phases *resize* and *encode* of a video's frames, uint8 [H, W, 3] RGB.

    Raises:
        VideoError: frames differ in size, are too large for a JPEG, or too many.
    """
    jpegs: list[bytes] = []
    shape: tuple[int, ...] = ()
    size = 0
    for frame in frames:
        resized = resize_shorter_side(frame, shorter_side)
        if jpegs and resized.shape != shape:
            raise VideoError(f"frame {len(jpegs) + 1} is of another size than the first")
        shape = resized.shape
        jpegs.append(encode_jpeg(resized))
        size += len(jpegs[-1])
        if size > _LARGEST:
            raise VideoError(f"too long to store: {len(jpegs)} frames take 2 GB; cut it into parts")
    return Decoded(jpegs, shape[0], shape[1])


def encode_jpeg(frame: np.ndarray) -> bytes:
    """The JPEG string of a frame, uint8 [H, W, 3] RGB."""
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    encoded, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        raise VideoError(f"a frame of {frame.shape[1]}x{frame.shape[0]} cannot be stored as JPEG")
    return bytes(jpeg)

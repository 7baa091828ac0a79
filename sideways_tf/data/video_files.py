"""Phases *decode* and *resize*: one video file -> RGB frames, as OpenCV's decoder gives them."""

import os
import struct
from collections.abc import Iterator

import cv2
import numpy as np

# The mean error of a real frame is about 1.5 grey levels; 4:2:0 chroma is what the sources have.
JPEG_QUALITY = 95


# Unreadable videos are reported by name and reason; the decoder's own remarks name neither.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class VideoError(Exception):
    """Why one video cannot be used; the message is the reason, without the file's name."""


def read_frames(path: str | os.PathLike[str]) -> Iterator[np.ndarray]:
    """Yields every frame, uint8 [H, W, 3] RGB, until the decoder has no more.

    The header's frame count is never asked: in many UCF101 and in all HMDB51 files it is wrong.

    Raises:
        VideoError: the file is missing, empty, or holds no frame that can be decoded.
    """
    try:
        with open(path, "rb") as file:
            header = file.read(12)
    except OSError as error:
        raise VideoError(f"cannot be read ({error.strerror})") from error
    _check_whole(header, os.path.getsize(path))
    try:
        name = os.fspath(path).encode().decode()
    except UnicodeEncodeError as error:
        raise VideoError("its name is not UTF-8; rename it") from error
    # One decoder thread each: videos are decoded in parallel, which scales better than frames.
    options = [cv2.CAP_PROP_N_THREADS, 1]
    capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, options)
    try:
        if not capture.isOpened():
            raise VideoError("not a video that can be decoded")
        count = 0
        while True:
            decoded, frame = capture.read()
            if not decoded:
                break
            count += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        if count == 0:
            raise VideoError("holds no frame that can be decoded")
    finally:
        capture.release()


def _check_whole(header: bytes, size: int) -> None:
    """Refuses a file of `size` bytes that says it is longer: a decoder would just stop early."""
    if size == 0:
        raise VideoError("the file is empty")
    if header[:4] == b"RIFF" and len(header) == 12:
        stated = struct.unpack("<I", header[4:8])[0] + 8
        if stated > size:
            raise VideoError(f"the file is cut short: it holds {size} of {stated} bytes")


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


def encode_jpeg(frame: np.ndarray) -> bytes:
    """The JPEG string of a frame, uint8 [H, W, 3] RGB."""
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    encoded, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        raise VideoError(f"a frame of {frame.shape[1]}x{frame.shape[0]} cannot be stored as JPEG")
    return bytes(jpeg)

"""Phases *decode* and *resize*: one video file -> RGB frames, as OpenCV's decoder gives them."""

import os
from collections.abc import Iterator

import cv2
import numpy as np

# The mean error of a real frame is about one grey level; 4:2:0 chroma is what the sources have.
JPEG_QUALITY = 95


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
            if not file.read(1):
                raise VideoError("the file is empty")
    except OSError as error:
        raise VideoError(f"cannot be read ({error.strerror})") from error
    # One decoder thread each: videos are decoded in parallel, which scales better than frames.
    options = [cv2.CAP_PROP_N_THREADS, 1]
    capture = cv2.VideoCapture(os.fspath(path), cv2.CAP_FFMPEG, options)
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

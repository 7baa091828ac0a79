"""Pictures of what a stream shows: Figures 7 and 8, side by side."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import tensorflow as tf

from sideways_tf.errors import UserError
from sideways_tf.report.caption import caption
from sideways_tf.report.reconstruction import Network, source_frames, too_short

SHOWN_FRAMES = 10
GAP = 2  # pixels between pictures
_VIDEO_CODES = {".mp4": "mp4v", ".avi": "MJPG"}
_FRAMES_PER_SECOND = 24


def shown(
    network: Network, algorithm: str, frames: tf.Tensor, name: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """What the stream shows, and the frames of the same steps.

    Args:
      frames: float [N, H, W, 3] in [0, 1], a whole video; `name` is its name, for errors.

    Returns:
      truth and shown, uint8 [N - D + 1, H, W, 3] both, from step D on.
    """
    if len(frames) < network.depth:
        raise UserError(f"cannot show {too_short(len(frames), network.depth, name)}")
    steps, sources = source_frames(algorithm, len(frames), network.depth)
    needed, places = np.unique(sources, return_inverse=True)
    outputs = network(tf.gather(frames, needed))
    return to_pixels(tf.gather(frames, steps)), to_pixels(outputs)[places]


def to_pixels(values: tf.Tensor) -> np.ndarray:
    """float in about [0, 1] -> uint8."""
    return np.clip(np.rint(255 * np.asarray(values)), 0, 255).astype(np.uint8)


def middle(frames: np.ndarray, count: int = SHOWN_FRAMES) -> np.ndarray:
    """The `count` consecutive frames in the middle, fewer if there are fewer."""
    start = max(0, (len(frames) - count) // 2)
    return frames[start : start + count]


def tile(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """uint8 [H, W, 3] pictures, equally many in each row, in one with white gaps."""
    lines = [_joined(row, axis=1) for row in rows]
    return _joined(lines, axis=0)


def _joined(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    parts: list[np.ndarray] = []
    for picture in pictures:
        gap = list(picture.shape)
        gap[axis] = GAP
        parts += [np.full(gap, 255, np.uint8), picture]
    return np.concatenate(parts[1:], axis)


def write_picture(path: pathlib.Path, picture: np.ndarray) -> None:
    """Write a PNG, uint8 [H, W, 3] RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), picture[..., ::-1]):
        raise UserError(f"{path}: cannot be written; name a .png in a folder that can")


def write_animation(
    path: pathlib.Path, frames: Sequence[np.ndarray], rate: float = _FRAMES_PER_SECOND
) -> None:
    """Write a .gif, .mp4 or .avi of uint8 [H, W, 3] RGB frames, `rate` a second.

    Raises:
      UserError: if the name ends otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gif":
        from PIL import Image  # matplotlib brings it

        images = [Image.fromarray(frame).quantize(64) for frame in frames]
        milliseconds = round(1000 / rate)
        images[0].save(path, save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
        return
    if path.suffix not in _VIDEO_CODES:
        raise UserError(f"{path}: animations are .gif, {' or '.join(_VIDEO_CODES)}; name one")
    height, width = (side - side % 2 for side in frames[0].shape[:2])  # coders want even sides
    code = cv2.VideoWriter.fourcc(*_VIDEO_CODES[path.suffix])
    writer = cv2.VideoWriter(str(path), code, rate, (width, height))
    if not writer.isOpened():
        raise UserError(f"{path}: cannot be written; name a file in a folder that can, or a .gif")
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[:height, :width, ::-1]))
    writer.release()


def labelled(pictures: Mapping[str, np.ndarray], scale: int = 1) -> np.ndarray:
    """Pictures side by side, each under its name."""
    columns = []
    for name, picture in pictures.items():
        large = np.repeat(np.repeat(picture, scale, 0), scale, 1)
        columns.append(np.concatenate([caption(name, large.shape[1]), large]))
    return _joined(columns, axis=1)

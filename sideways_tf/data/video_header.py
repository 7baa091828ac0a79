"""What the header of a video says beside its pixels: codec, frame rate, how a player shows it."""

import os
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType


@dataclass(frozen=True)
class Header:
    """What is known before the frames are decoded; the defaults where nothing is.

    Attributes:
        codec: its short name.
        rate: mean frames per second; 0 where unknown.
        seconds: of the video, where an index says so; else 0.
        pixel_aspect: width over height of a pixel as a player shows it.
        matrix: (a, b, c, d), a player shows the pixel (x, y) at (a x + c y, b x + d y); phones
            that were held upright or upside down write another one than the identity.
        streams: kinds of streams, `video`, `audio`, ...
    """

    codec: str = ""
    rate: float = 0.0
    seconds: float = 0.0
    pixel_aspect: float = 1.0
    matrix: tuple[int, int, int, int] = (1, 0, 0, 1)
    streams: tuple[str, ...] = ()


def read_header(path: str | os.PathLike[str]) -> Header:
    """The header of the first video stream; defaults where the file is not understood."""
    try:
        with av.open(os.fspath(path)) as container:
            kinds = tuple(stream.type for stream in container.streams)
            if not container.streams.video:
                return Header(streams=kinds)
            stream = container.streams.video[0]
            # An AVI's counts are often wrong, a Matroska file's length is that of its sound too.
            indexed = stream.duration if container.format.name.startswith("mov") else None
            frame = next(container.decode(stream), None) if stream.codec_context else None
            return Header(
                codec=stream.codec_context.codec.canonical_name if stream.codec_context else "",
                rate=float(stream.average_rate or 0),
                seconds=float(indexed * stream.time_base) if indexed and stream.time_base else 0.0,
                pixel_aspect=float(stream.sample_aspect_ratio or 1),
                matrix=_matrix(frame),
                streams=kinds,
            )
    except (av.FFmpegError, ValueError, OSError):
        return Header()


def as_shown(frame: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Turns and mirrors [H, W, ...] as a player does, to the nearest right angle."""
    a, b, c, d = matrix
    if abs(a) < abs(b):
        frame, a, d = frame.swapaxes(0, 1), c, b
    return np.ascontiguousarray(frame[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _matrix(frame: av.VideoFrame | None) -> tuple[int, int, int, int]:
    data: Any = None
    if frame is not None:
        data = frame.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = memoryview(bytes(data)).cast("i")
    return a, b, c, d

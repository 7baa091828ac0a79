"""Decoded videos on disk between *decode* and *store*: what is there need not be decoded again."""

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sideways_tf.data.listing import Video
from sideways_tf.data.video_files import VideoError, encode_jpeg, resize_shorter_side


@dataclass(frozen=True)
class Decoded:
    """A decoded video: its frames as JPEG strings, all of `height` x `width` pixels."""

    jpegs: list[bytes]
    height: int
    width: int


FrameReader = Callable[[Video], Iterable[np.ndarray]]


class Staging:
    """A folder with one file per decoded video; a file there is always whole."""

    def __init__(self, folder: Path, shorter_side: int | None):
        self._folder = folder
        self._shorter_side = shorter_side

    def load(self, video: Video) -> Decoded:
        """Reads what `decode` left."""
        with np.load(self._file(video)) as staged:
            data = staged["jpegs"].tobytes()
            ends = np.cumsum(staged["sizes"])
            height, width = (int(side) for side in staged["frame"])
        starts = np.concatenate([[0], ends[:-1]])
        return Decoded([data[a:b] for a, b in zip(starts, ends, strict=True)], height, width)

    def decode(self, video: Video, read: FrameReader) -> None:
        """Decodes, resizes and stores one video, unless an earlier run has done it.

        Raises:
            VideoError: the video cannot be used.
        """
        target = self._file(video)
        if target.exists():
            return
        decoded = _encode(read(video), self._shorter_side)
        partial = target.with_suffix(".partial.npz")
        np.savez(
            partial,
            jpegs=np.frombuffer(b"".join(decoded.jpegs), np.uint8),
            sizes=np.array([len(jpeg) for jpeg in decoded.jpegs]),
            frame=np.array([decoded.height, decoded.width]),
        )
        partial.rename(target)

    def decode_all(
        self,
        videos: Sequence[Video],
        read: FrameReader,
        *,
        description: str,
        workers: int,
    ) -> dict[str, str]:
        """Decodes in parallel, with a progress bar; returns the reasons of failures by name."""
        self._folder.mkdir(parents=True, exist_ok=True)
        reasons: dict[str, str] = {}
        # Threads: OpenCV works outside of the interpreter's lock.
        with ThreadPoolExecutor(workers) as pool:
            waiting = {pool.submit(self.decode, video, read): video for video in videos}
            try:
                done = as_completed(waiting)
                for future in tqdm(done, description, len(videos), unit=" videos", leave=False):
                    try:
                        future.result()
                    except VideoError as error:
                        reasons[waiting[future].name] = str(error)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return {video.name: reasons[video.name] for video in videos if video.name in reasons}

    def load_all(self, videos: Iterable[Video]) -> Iterator[tuple[Video, Decoded]]:
        """Reads videos one by one."""
        for video in videos:
            try:
                yield video, self.load(video)
            except (zipfile.BadZipFile, ValueError, EOFError) as error:
                self._file(video).unlink()
                raise OSError(f"{self._file(video)} is damaged and was removed") from error

    def _file(self, video: Video) -> Path:
        identity = [video.name, str(self._shorter_side)]
        if video.path is not None and video.path.exists():
            status = os.stat(video.path)
            identity += [
                str(video.path.resolve()),
                str(status.st_size),
                str(status.st_mtime_ns),
            ]
        digest = hashlib.sha256("\n".join(identity).encode("utf-8", "surrogateescape")).hexdigest()
        return self._folder / f"{digest[:32]}.npz"


def _encode(frames: Iterable[np.ndarray], shorter_side: int | None) -> Decoded:
    jpegs: list[bytes] = []
    shape: tuple[int, ...] = ()
    for frame in frames:
        resized = resize_shorter_side(frame, shorter_side)
        if jpegs and resized.shape != shape:
            raise VideoError(f"frame {len(jpegs) + 1} is of another size than the first")
        shape = resized.shape
        jpegs.append(encode_jpeg(resized))
    return Decoded(jpegs, shape[0], shape[1])

"""Decoded videos on disk between *decode* and *store*: what is there need not be decoded again."""

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from sideways_tf import progress
from sideways_tf.data.listing import Video
from sideways_tf.data.video_files import Decoded, VideoError
from sideways_tf.errors import UserError

Reader = Callable[[Video], Decoded]


class Staging:
    """A folder with one file per decoded video; a file there is always whole.

    `kind` says in which form: files of another kind are not taken for it.
    """

    def __init__(self, folder: Path, kind: str):
        self._folder = folder
        self._kind = kind

    def load(self, video: Video) -> Decoded:
        """Reads what `decode` left."""
        with self._file(video).open("rb") as file:
            facts = json.loads(file.readline())
            checksum = facts.pop("checksum")
            jpegs = [file.read(size) for size in facts.pop("sizes")]
            if _checksum(jpegs) != checksum or file.read():
                raise ValueError("its checksum is another one")
        return Decoded(jpegs, **facts)

    def decode(self, video: Video, read: Reader) -> None:
        """Decodes and keeps one video, unless an earlier run has done it.

        Raises:
            VideoError: the video cannot be used.
        """
        target = self._file(video)
        if target.exists():
            return
        facts = vars(read(video)).copy()
        jpegs = facts.pop("jpegs")
        facts.update(sizes=[len(jpeg) for jpeg in jpegs], checksum=_checksum(jpegs))
        partial = target.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                file.write(json.dumps(facts).encode() + b"\n")
                file.writelines(jpegs)
            partial.rename(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def decode_all(
        self,
        videos: Sequence[Video],
        read: Reader,
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
                for future in progress.over(done, description, " videos", len(videos)):
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
            except (ValueError, KeyError, TypeError) as error:
                self._file(video).unlink()
                raise UserError(
                    f"{self._file(video)}: damaged, and removed now; start again, the other videos "
                    "are kept"
                ) from error

    def _file(self, video: Video) -> Path:
        identity = [video.name, self._kind]
        if video.path is not None and video.path.exists():
            status = os.stat(video.path)
            identity += [
                str(video.path.resolve()),
                str(status.st_size),
                str(status.st_mtime_ns),
            ]
        digest = hashlib.sha256("\n".join(identity).encode("utf-8", "surrogateescape")).hexdigest()
        return self._folder / f"{digest[:32]}.jpegs"


def _checksum(jpegs: Iterable[bytes]) -> int:
    checksum = 0
    for jpeg in jpegs:
        checksum = zlib.crc32(jpeg, checksum)
    return checksum

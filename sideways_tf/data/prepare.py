"""Opens a data set by name; prepares it once where that has not been done."""

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds
from absl import logging
from tqdm import tqdm

from sideways_tf.data.cater import Cater
from sideways_tf.data.dataset import VideoDataset
from sideways_tf.data.folder import Folder, FramesOnly
from sideways_tf.data.hmdb51 import Hmdb51
from sideways_tf.data.synthetic.moving_objects import MovingObjects
from sideways_tf.data.synthetic.moving_shapes import MovingShapes
from sideways_tf.data.ucf101 import Ucf101
from sideways_tf.data.video_builder import SHORTER_SIDE, VideoBuilder, VideoConfig
from sideways_tf.errors import UserError

BUILDERS: dict[str, type[VideoBuilder]] = {
    builder.name: builder
    for builder in (MovingShapes, MovingObjects, Ucf101, Hmdb51, Cater, Folder, FramesOnly)
}
DATASETS = tuple(BUILDERS)


def open_dataset(
    name: str,
    *,
    data_dir: str | None = None,
    cache_dir: str = "~/.cache/sideways_tf",
    split: int = 1,
    resize: int | None = SHORTER_SIDE,
    allow_missing_videos: bool = False,
    strict_data: bool = False,
) -> VideoDataset:
    """Opens a data set for training and evaluation.

    Args:
        name: one of `DATASETS`.
        data_dir: a folder with the prepared set in TFDS layout (`ucf101/split1_128/1.0.0` below
            it), used as it is; or one with the official archives or what they unpack to, prepared
            once into `cache_dir`. `moving_shapes` needs none.
        cache_dir: where prepared sets are kept.
        split: number of the official split.
        resize: shorter side of the stored frames, in pixels; None keeps them as they are.
        allow_missing_videos: whether videos that the split lists name may be absent.
        strict_data: whether one unreadable video is an error; else up to 5 % are left out, by name.

    Raises:
        UserError: the data set cannot be had, in one line with the remedy.
    """
    cls = find_builder(name)
    config = cls.config_for(split, resize)
    with quiet_tfds():
        prepared = None if not data_dir else Path(data_dir).expanduser()
        if prepared is None or not cls(data_dir=prepared, config=config).is_prepared():
            source_dir = find_source(cls, data_dir, config)
            fingerprint = _fingerprint(source_dir, cls, allow_missing_videos)
            prepared = Path(cache_dir).expanduser() / f"{name}-{fingerprint}"
            prepare(
                cls(
                    data_dir=prepared,
                    config=config,
                    source_dir=source_dir,
                    allow_missing_videos=allow_missing_videos,
                    strict_data=strict_data,
                )
            )
        dataset = VideoDataset(cls(data_dir=prepared, config=config))
    if strict_data and dataset.failures:
        video, reason = dataset.failures[0]
        raise UserError(
            f"strict_data=True: {len(dataset.failures)} videos of {name} were left out, the first "
            f"is {video}: {reason}; replace these files"
        )
    return dataset


def find_builder(name: str) -> type[VideoBuilder]:
    """The builder of a data set by its name."""
    if name not in BUILDERS:
        raise UserError(f"dataset={name}: no such data set; give one of {', '.join(DATASETS)}")
    return BUILDERS[name]


def prepare(builder: VideoBuilder) -> None:
    """Runs the builder's preparation unless it is done; names the videos it leaves out.

    Nothing half-written can be taken for whole: TFDS renames its folder at the very end. Of two
    processes that want the same data set one waits for the other.
    """
    root = Path(builder.data_dir_root)
    with _disk_full_as_user_error(root):
        root.mkdir(parents=True, exist_ok=True)
        with _lock(root / f".{builder.name}.lock"):
            target = Path(builder.data_dir)
            if target.exists():
                return
            for left in target.parent.glob(f"{target.name}.incomplete*"):
                shutil.rmtree(left)
            with quiet_tfds():
                builder.download_and_prepare(download_dir=builder.unpacked_dir)
    for video, reason in builder.info.metadata["failures"]:
        tqdm.write(f"{builder.name}: left out {video}: {reason}", file=sys.stderr)


def find_source(
    cls: type[VideoBuilder], folder: str | None, config: VideoConfig, argument: str = "data_dir"
) -> Path | None:
    """The root of the official layout or its archives; None for a data set that is drawn.

    Raises:
        UserError: there is none in `folder`, which the user gave as `argument`.
    """
    if not cls.LAYOUT:
        return None
    if not folder:
        raise UserError(f"dataset={cls.name}: {argument}=DIR is not given; {cls.how_to_get()}")
    root = Path(folder).expanduser()
    for part in cls.roots():
        names = (part, *cls.ARCHIVES.get(part, ()))
        if not any((root / name).exists() for name in names):
            prepared = sorted(path.name for path in (root / cls.name).glob("split*"))
            found = f" (prepared there: {', '.join(prepared)})" if prepared else ""
            raise UserError(
                f"{argument}={folder}: neither {cls.name}/{config.name} nor "
                f"{' nor '.join(filter(None, names)) or 'the folder'} is there{found}; "
                f"{cls.how_to_get()}"
            )
    return root


def _fingerprint(
    source_dir: Path | None, cls: type[VideoBuilder], allow_missing_videos: bool
) -> str:
    """Names a source: relative paths and sizes of the videos, contents of the split lists."""
    digest = hashlib.sha256(f"{cls.VERSION} {allow_missing_videos}".encode())
    archives = [name for names in cls.ARCHIVES.values() for name in names]
    for pattern in [*cls.LAYOUT, *archives] if source_dir is not None else []:
        assert source_dir is not None
        for path in sorted(source_dir.glob(re.sub("<.*?>", "*", pattern))):
            digest.update(os.fsencode(f"\n{path.relative_to(source_dir)} "))
            if path.suffix == ".txt" and path.is_file():
                digest.update(path.read_bytes())
            else:
                digest.update(str(path.lstat().st_size).encode())
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _disk_full_as_user_error(folder: Path) -> Iterator[None]:
    """TensorFlow and the system say it in different ways, TFDS wraps both."""
    try:
        yield
    except Exception as error:
        full = os.strerror(errno.ENOSPC)
        if getattr(error, "errno", None) == errno.ENOSPC or full in str(error):
            raise UserError(
                f"{folder}: no space left on this disk; make room, or give another folder, and "
                "start again: what is decoded so far is kept"
            ) from error
        raise


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Our progress bars replace TFDS's bars, announcements and remarks about custom configs."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    tfds.display_progress_bar(False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.display_progress_bar(True)
        logging.set_verbosity(verbosity)

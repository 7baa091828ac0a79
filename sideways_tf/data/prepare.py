"""Opens a data set by name; prepares it once where that has not been done."""

import contextlib
import fcntl
import hashlib
import io
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core.constants import INCOMPLETE_PREFIX

from sideways_tf.data.cater import Cater
from sideways_tf.data.checks import check_failures
from sideways_tf.data.dataset import VideoDataset
from sideways_tf.data.folder import Folder, FramesOnly
from sideways_tf.data.hmdb51 import Hmdb51
from sideways_tf.data.listing import is_video, walk
from sideways_tf.data.summary import report_path, tell
from sideways_tf.data.synthetic.moving_directions import MovingDirections
from sideways_tf.data.synthetic.moving_objects import MovingObjects
from sideways_tf.data.synthetic.moving_shapes import MovingShapes
from sideways_tf.data.ucf101 import Ucf101
from sideways_tf.data.video_builder import SHORTER_SIDE, VideoBuilder, VideoConfig
from sideways_tf.disk import full_disk_in_one_line, is_full
from sideways_tf.errors import UserError
from sideways_tf.screen import SCREEN

BUILDERS: dict[str, type[VideoBuilder]] = {
    builder.name: builder
    for builder in (
        MovingShapes, MovingDirections, MovingObjects, Ucf101, Hmdb51, Cater, Folder, FramesOnly
    )
}  # fmt: skip
DATASETS = tuple(BUILDERS)
_READER = 2  # rises when the same files are read as other frames, so that caches are made anew


def open_dataset(
    name: str,
    *,
    data_dir: str | None = None,
    cache_dir: str = "~/.cache/sideways_tf",
    split: int = 1,
    resize: int | None = SHORTER_SIDE,
    fps: float | None = None,
    allow_missing_videos: bool = False,
    allow_short_videos: bool = False,
    skip_unreadable: bool = False,
    strict_data: bool = False,
) -> VideoDataset:
    """Opens a data set for training and evaluation.

    Args:
        name: one of `DATASETS`.
        data_dir: a folder with the prepared set in TFDS layout (`ucf101/split1_128/1.0.0` below
            it), used as it is, resized on reading where it is larger; or one with the official
            archives or what they unpack to, prepared once into `cache_dir`. `moving_shapes` needs
            none.
        cache_dir: where prepared sets are kept.
        split: number of the official split.
        resize: shorter side of the frames before they are cropped, in pixels; None keeps them as
            they are.
        fps: frames per second that videos are resampled to; None takes all frames.
        allow_missing_videos: whether videos that the split lists name may be absent.
        allow_short_videos: whether videos that were cut short are taken as far as they go.
        skip_unreadable: whether any number of unreadable videos is left out, by name; else 5 %.
        strict_data: whether one unreadable video is an error.

    Raises:
        UserError: the data set cannot be had, with the remedy.
    """
    config = find_builder(name).config_for(split, resize, fps)
    options = {
        "allow_missing_videos": allow_missing_videos, "allow_short_videos": allow_short_videos,
        "skip_unreadable": skip_unreadable, "strict_data": strict_data,
    }  # fmt: skip
    return _open(name, config, data_dir, cache_dir, options)


def _open(
    name: str, config: Any, data_dir: str | None, cache_dir: str, options: dict[str, bool]
) -> VideoDataset:
    cls = find_builder(name)
    with quiet_tfds():
        builder = _find_prepared(cls, data_dir, config)
        if builder is None:
            source_dir = find_source(cls, data_dir, config)
            allowed = options["allow_missing_videos"], options["allow_short_videos"]
            fingerprint = _fingerprint(source_dir, cls, *allowed)
            folder = Path(cache_dir).expanduser() / f"{name}-{fingerprint}"
            builder = cls(data_dir=folder, config=config, source_dir=source_dir, **options)
            if prepare(builder, "cache_dir"):
                for line in tell(builder):
                    SCREEN.note(line)
        dataset = VideoDataset(builder, config.shorter_side)
    check_failures(
        name,
        dict(dataset.failures),
        dataset.num_train + dataset.num_test + len(dataset.failures),
        skip_unreadable=options["skip_unreadable"],
        strict_data=options["strict_data"],
        report=report_path(builder),
    )
    return dataset


def find_builder(name: str) -> type[VideoBuilder]:
    """The builder of a data set by its name."""
    if name not in BUILDERS:
        raise UserError(f"dataset={name}: no such data set; give one of {', '.join(DATASETS)}")
    return BUILDERS[name]


def prepare(builder: VideoBuilder, argument: str = "data_dir") -> bool:
    """Runs the builder's preparation; False where it was done already, by whomever.

    Nothing half-written can be taken for whole: TFDS renames its folder at the very end. Of two
    processes that want the same data set one waits for the other.

    Raises:
        UserError: it cannot be prepared, or not into the folder that was given as `argument`.
    """
    root = Path(builder.data_dir_root)
    remedy = "make room, or give another folder, and start again: what is decoded so far is kept"
    with (
        full_disk_in_one_line(root, remedy),
        _lock(root / f".{builder.name}.lock", argument),
    ):
        target = Path(builder.data_dir)
        if target.exists():
            builder.info.read_from_directory(target)
            return False
        # What a killed preparation leaves; nobody else writes while the lock is held.
        for left in target.parent.glob(f"{INCOMPLETE_PREFIX}*_{target.name}"):
            shutil.rmtree(left)
        with quiet_tfds():
            builder.download_and_prepare(download_dir=builder.unpacked_dir)
    return True


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
        raise UserError(f"dataset={cls.name} needs {argument}=DIR\n{cls.layout()}")
    root = Path(folder).expanduser()
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no such folder"
        raise UserError(f"{argument}={folder}: {what}\n{cls.layout()}")
    prepared = sorted(path.name for path in (root / cls.name).glob("split*"))
    for part in cls.roots():
        names = (part, *cls.ARCHIVES.get(part, ()))
        there = any((root / name).exists() for name in names)
        if prepared and (not there or not (part or any(map(is_video, walk(root))))):
            raise UserError(_other_size(cls, folder, config, prepared))
        if not there:
            raise UserError(
                f"{argument}={folder}: neither {cls.name}/{config.name} nor {' nor '.join(names)} "
                f"is there\n{cls.layout()}"
            )
    return root


def _find_prepared(
    cls: type[VideoBuilder], data_dir: str | None, config: VideoConfig
) -> VideoBuilder | None:
    """What is prepared in `data_dir`: that config, or the least of those with larger frames."""
    if not data_dir:
        return None
    root, asked = Path(data_dir).expanduser(), config.shorter_side
    sizes: list[int | None] = [asked]
    if asked is not None:
        pattern = re.compile(config.name.replace(f"_{asked}", r"_(\d+)", 1))
        found = (pattern.fullmatch(path.name) for path in (root / cls.name).glob("split*"))
        sizes += sorted(int(match[1]) for match in found if match and int(match[1]) > asked)
        sizes.append(None)
    for size in sizes:
        other = cls.config_for(config.split, size, config.fps)
        builder = cls(data_dir=root, config=other)
        if builder.is_prepared() and (size == asked or _smallest_side(builder) >= (asked or 0)):
            if size != asked:
                SCREEN.note(
                    f"{cls.name}: {other.name} of {data_dir} is resized to {asked} pixels while it "
                    f"is read; resize={asked} in its preparation saves that"
                )
            return builder
    return None


def _smallest_side(builder: VideoBuilder) -> int:
    facts = builder.info.metadata
    return min(facts["min_height"], facts["min_width"])


def _other_size(
    cls: type[VideoBuilder], folder: str, config: VideoConfig, prepared: Sequence[str]
) -> str:
    """What to do where a data set is prepared, but not as it is asked for."""
    flags = {"dataset": cls.name, "source_dir": "DIR", "data_dir": folder, "split": config.split}
    flags |= {"resize": config.shorter_side or 0, "fps": config.fps}
    given = [f"--{flag}={value}" for flag, value in flags.items() if value is not None]
    command = shlex.join(["sideways", "prepare", *given])
    return (
        f"data_dir={folder}: {cls.name}/{config.name} is not there (prepared there: "
        f"{', '.join(prepared)}); prepare it from the folder DIR of its source: {command}"
    )


def _fingerprint(source_dir: Path | None, cls: type[VideoBuilder], *choices: bool) -> str:
    """Names a source: relative paths and sizes of the videos, contents of the split lists."""
    digest = hashlib.sha256(f"{cls.VERSION} {_READER} {choices}".encode())
    for part in cls.roots() if source_dir is not None else []:
        assert source_dir is not None
        archives = (source_dir / name for name in cls.ARCHIVES.get(part, ()))
        folder = source_dir / part
        for path in walk(folder) if folder.is_dir() else filter(Path.is_file, archives):
            digest.update(os.fsencode(f"\n{path.relative_to(source_dir)} "))
            if path.suffix == ".txt" and path.is_file():
                digest.update(path.read_bytes())
            else:
                status = path.stat() if path.exists() else path.lstat()
                digest.update(str(status.st_size).encode())
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def _lock(path: Path, argument: str) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        if is_full(error):
            raise
        raise UserError(
            f"{argument}={path.parent}: cannot be written ({error.strerror}); give another folder"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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

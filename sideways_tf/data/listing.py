"""Phase *list*: which videos make a data set, and which files stay out of it."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sideways_tf.errors import UserError

VIDEO_SUFFIXES = (
    ".avi", ".mp4", ".m4v", ".mkv", ".webm", ".mov", ".gif", ".mpg", ".mpeg", ".ts", ".wmv", ".flv",
    ".3gp",
)  # fmt: skip


@dataclass(frozen=True)
class Video:
    """One video of a data set.

    Attributes:
        name: unique in its data set and stable between machines: `class/file.avi`.
        label: one of the builder's class names.
        path: where it lies; None where the builder draws it.
    """

    name: str
    label: str
    path: Path | None = None


@dataclass
class Listing:
    """The videos of a split, and what its lists say beside that.

    Attributes:
        train, test: the videos to decode.
        missing: named by the lists, but not there.
        unlisted: there, but named by no list.
        repeated: named more than once by one list; taken once.
        unused: there, but named by the lists as part of neither train nor test.
    """

    train: list[Video] = field(default_factory=list)
    test: list[Video] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def add(self, part: str, videos: Iterable[Video]) -> None:
        """Adds what a list names to `train` or `test`: each video once, if it is there."""
        taken = getattr(self, part)
        known = {video.name for video in taken} | set(self.missing)
        for video in videos:
            # A directory or a dead link of that name is there: decoding will tell what it is.
            if video.name in known:
                self.repeated.append(video.name)
            elif os.path.lexists(video.path or ""):
                taken.append(video)
            else:
                self.missing.append(video.name)
            known.add(video.name)

    def check_disjoint(self) -> None:
        """Raises a UserError where a video is in both train and test."""
        both = {video.name for video in self.train} & {video.name for video in self.test}
        if both:
            raise UserError(
                f"the split lists name {len(both)} videos for both train and test, the first is "
                f"{min(both)}: a test on them would prove nothing; mend the lists"
            )

    def find_unlisted(self, folder: Path) -> None:
        """Notes the files of `folder` and its class folders that no list names."""
        listed = {video.name for video in self.train + self.test} | {*self.missing, *self.unused}
        names = {printable(path, folder) for path in folder.glob("*/*") if not is_hidden(path)}
        self.unlisted.extend(sorted(names - listed))


def is_hidden(path: Path) -> bool:
    """Whether it is what systems leave beside a user's files: `.DS_Store`, `._x.mp4`."""
    return path.name.startswith(".")


def is_video(path: Path) -> bool:
    """Whether a file is one by its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not is_hidden(path)


def walk(root: Path) -> Iterator[Path]:
    """All files below `root` in order, through links to folders, without what is hidden.

    Raises:
        UserError: a link leads to a folder that holds it.
    """
    for folder, inner, files in os.walk(root, followlinks=True):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        here = os.path.realpath(folder)
        for name in inner:
            path = os.path.join(folder, name)
            if os.path.islink(path) and (here + os.sep).startswith(os.path.realpath(path) + os.sep):
                raise UserError(f"{path}: a link to a folder that holds it; remove the link")
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def printable(path: Path, root: Path) -> str:
    """The path below `root`; bytes that are no UTF-8 become `\\xe9`."""
    return os.fsencode(path.relative_to(root)).decode("utf-8", "backslashreplace")


def read_lines(path: Path, layout: str) -> Iterator[str]:
    """The lines of a split list, without CR, trailing blanks and empty lines.

    Raises:
        UserError: the list is not there; `layout` says what is expected.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such split list\n{layout}")
    for line in path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines():
        if line.strip():
            yield line.strip()

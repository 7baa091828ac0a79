"""A user's own videos: any directory of class folders."""

import hashlib
import shlex
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from sideways_tf.data.cater import UNLABELLED
from sideways_tf.data.listing import (
    VIDEO_SUFFIXES,
    Listing,
    Video,
    is_video,
    printable,
    read_lines,
    walk,
)
from sideways_tf.data.video_builder import VideoBuilder, VideoConfig
from sideways_tf.errors import UserError

SPLIT_FILE = "split.txt"
TEST_FOLDERS = ("test", "val", "valid", "validation")  # the first that is there
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
TEST_SHARE = 0.3


class Folder(VideoBuilder):
    """Class folders with videos, of any size, length and frame rate.

    What decides between train and test: the folders `train/` and `test/` (or `val/`) where the
    root has both; else its file `split.txt` with lines `class/file.mp4 train`; else a share of
    each class, drawn from the names by a seed. The split is written to `folder-split.txt` beside
    the prepared data set, in the form of `split.txt`.
    """

    BUILDER_CONFIGS: ClassVar = [VideoConfig()]
    CLASS_NAMES: ClassVar = None  # known once the source has been listed
    LAYOUT: ClassVar = ("**/*",)
    WHERE_TO_GET: ClassVar = f"videos are *{', *'.join(VIDEO_SUFFIXES)}"
    DESCRIPTION: ClassVar = "A folder of videos."
    MANUAL_DOWNLOAD_INSTRUCTIONS: ClassVar = "Put one folder of videos per class into manual_dir."

    def __init__(self, *, test_share: float = TEST_SHARE, split_seed: int = 0, **kwargs: Any):
        """See `VideoBuilder`.

        Args:
            test_share: of each class, in (0, 1), where nothing else decides.
            split_seed: another seed draws another share.
            **kwargs: as for `VideoBuilder`.
        """
        if not 0 < test_share < 1:
            raise UserError(f"test_share={test_share}: give a share between 0 and 1")
        self._test_share = test_share
        self._split_seed = split_seed
        super().__init__(**kwargs)

    def list_videos(self, source_dir: Path | None) -> Listing:
        assert source_dir is not None
        tests = [name for name in TEST_FOLDERS if (source_dir / name).is_dir()]
        if (source_dir / "train").is_dir() and tests:
            listing = Listing()
            for part, folder in (("train", "train"), ("test", tests[0])):
                videos, ignored = self._scan(source_dir / folder, source_dir)
                getattr(listing, part).extend(videos)
                listing.unlisted.extend(ignored)
            for folder in tests[1:]:
                paths = walk(source_dir / folder)
                listing.unlisted.extend(printable(path, source_dir) for path in paths)
        else:
            videos, ignored = self._scan(source_dir, source_dir)
            if (source_dir / SPLIT_FILE).is_file():
                listing = self._split_by_list(source_dir / SPLIT_FILE, videos)
            else:
                listing = self._split_by_share(videos)
            listing.unlisted.extend(name for name in ignored if name != SPLIT_FILE)
        if not listing.train and not listing.test:
            self._explain_images(source_dir, listing.unlisted)
            self._explain_depth(source_dir, listing.unlisted)
        return listing

    def class_names(self, listing: Listing) -> list[str]:
        return sorted({video.label for video in listing.train + listing.test})

    def label_of(self, path: Path, root: Path) -> str | None:
        """The class folder's name; None for a file that is in none."""
        parts = Path(_composed(path, root)).parts
        return parts[0] if len(parts) == 2 else None

    def _scan(self, root: Path, source_dir: Path) -> tuple[list[Video], list[str]]:
        """Videos below `root`, and the names of all else; a name starts at `source_dir`."""
        videos, ignored = [], []
        for path in walk(root):
            label = self.label_of(path, root)
            name = _composed(path, source_dir)
            if is_video(path) and label is not None:
                videos.append(Video(name, label, path))
            else:
                ignored.append(name)
        return videos, ignored

    def _explain_images(self, root: Path, ignored: list[str]) -> None:
        """Says what is wrong where videos lie as folders of images."""
        images = [name for name in ignored if name.lower().endswith(_IMAGE_SUFFIXES)]
        if images:
            folder = root / Path(images[0]).parent
            pattern = str(folder / f"*{Path(images[0]).suffix}")
            make = ["ffmpeg", "-framerate", "25", "-pattern_type", "glob", "-i", pattern]
            raise UserError(
                f"{self.name}: holds images ({images[0]} and {len(images) - 1} more), no videos; "
                f"make a video of each folder: {shlex.join([*make, f'{folder}.mp4'])}"
            )

    def _explain_depth(self, root: Path, ignored: list[str]) -> None:
        """Says what is wrong where all videos lie too deep, or in no folder."""
        videos = [name for name in ignored if name.lower().endswith(VIDEO_SUFFIXES)]
        if not videos:
            return
        above = Path(videos[0]).parts[:-2]
        if above and above[-1] in ("train", *TEST_FOLDERS):
            above = above[:-1]
            if not above:
                there = Path(videos[0]).parts[0]
                raise UserError(
                    f"{self.name}: {there}/ is there, a folder of the other part, train/ or test/, "
                    f"is not: add it, or name {shlex.quote(str(root / there))} to draw a split"
                )
        if not above:
            raise UserError(
                f"{self.name}: {videos[0]} lies in no class folder: make a folder for each class, "
                "or take dataset=frames_only, without labels"
            )
        raise UserError(
            f"{self.name}: the videos lie too deep ({videos[0]}): name "
            f"{shlex.quote(str(root.joinpath(*above)))} in the place of {shlex.quote(str(root))}"
        )

    def _split_by_list(self, path: Path, videos: Iterable[Video]) -> Listing:
        there = {video.name: video for video in videos}
        parts: dict[str, list[Video]] = {"train": [], "test": []}
        for line in read_lines(path, self.layout()):
            name, _, part = unicodedata.normalize("NFC", line).rpartition(" ")
            if part not in parts:
                raise UserError(f"{path}: {line!r} is not `class/file.mp4 train` or `... test`")
            label = name.strip().split("/")[0]
            parts[part].append(there.pop(name.strip(), Video(name.strip(), label)))
        listing = Listing(unlisted=sorted(there))
        for part, named in parts.items():
            listing.add(part, named)
        return listing

    def _split_by_share(self, videos: Iterable[Video]) -> Listing:
        by_class = defaultdict(list)
        for video in videos:
            by_class[video.label].append(video)
        listing = Listing()
        for members in by_class.values():
            members.sort(key=self._draw)
            num_test = round(self._test_share * len(members))
            listing.test.extend(members[:num_test])
            listing.train.extend(members[num_test:])
        return listing

    def _draw(self, video: Video) -> bytes:
        return hashlib.sha256(f"{self._split_seed} {video.name}".encode()).digest()

    @classmethod
    def layout(cls) -> str:
        return (
            "expected: a folder for each class with videos, or such folders in train/ and test/:\n"
            "  cat/1.mp4\n  dog/2.mp4\n"
            f"{cls.WHERE_TO_GET}; dataset=moving_shapes needs no videos"
        )

    def record_split(self, listing: Listing) -> None:
        path = Path(self.data_dir_root) / f"{self.name}-{SPLIT_FILE}"
        parts = (("train", listing.train), ("test", listing.test))
        rows = sorted(f"{video.name} {part}\n" for part, videos in parts for video in videos)
        path.write_text("".join(rows), encoding="utf-8")


def _composed(path: Path, root: Path) -> str:
    """The name below `root`, accents composed: macOS writes them apart, lists as a rule do not."""
    return unicodedata.normalize("NFC", printable(path, root))


class FramesOnly(Folder):
    """The videos of a folder, at any depth, without labels: for auto-encoding."""

    def label_of(self, path: Path, root: Path) -> str | None:
        return UNLABELLED

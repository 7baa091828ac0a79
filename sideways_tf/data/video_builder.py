"""What all video data sets share: list, decode and store as an ordinary TFDS data set."""

import abc
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from sideways_tf.data.archives import unpack_all
from sideways_tf.data.listing import Listing, Video
from sideways_tf.data.staging import Staging
from sideways_tf.data.video_files import read_frames
from sideways_tf.errors import UserError

SHORTER_SIDE = 128  # pixels, before a 112x112 crop
MAX_FAILED_SHARE = 0.05


@dataclass(eq=False, kw_only=True)
class VideoConfig(tfds.core.BuilderConfig):
    """Which official split, and how large the stored frames are.

    Attributes:
        split: number of the official split, from 1.
        shorter_side: of the stored frames, in pixels; None stores them as they are.
    """

    name: str = ""
    description: str | None = None
    split: int = 1
    shorter_side: int | None = SHORTER_SIDE

    def __post_init__(self) -> None:
        size = "as_is" if self.shorter_side is None else str(self.shorter_side)
        self.name = self.name or f"split{self.split}_{size}"
        self.description = self.description or f"official split {self.split}, shorter side {size}"


class VideoBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A video data set in TFDS form.

    Features of an example: `video`, JPEG frames, uint8 [N, H, W, 3] RGB; `label`, int64 [], the
    official order of classes; `name`, string [], unique and stable.

    A subclass names its classes and lists its videos. Preparation goes through three phases:
    *list* (`list_videos`), *decode* (in parallel, each video kept on disk so that an interrupted
    run continues) and *store* (TFDS writes to a folder beside and renames it at the end).
    """

    VERSION: ClassVar = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar = [VideoConfig(split=split) for split in (1, 2, 3)]
    # TFDS looks for a list of checksums beside the code, by a package that it does not install.
    code_path: ClassVar = None

    CLASS_NAMES: ClassVar[tuple[str, ...] | None]
    DESCRIPTION: ClassVar[str]
    HOMEPAGE: ClassVar[str | None] = None
    CITATION: ClassVar[str | None] = None
    LICENSE: ClassVar[str | None] = None
    LAYOUT: ClassVar[tuple[str, ...]] = ()
    """Folders of the official unpacked layout, the videos' first, then the split lists'."""
    ARCHIVES: ClassVar[dict[str, tuple[str, ...]]] = {}
    """By folder of the layout: the official archives that hold it, any one of them will do."""
    WHERE_TO_GET: ClassVar[str] = ""

    def __init__(
        self,
        *,
        source_dir: str | os.PathLike[str] | None = None,
        allow_missing_videos: bool = False,
        strict_data: bool = False,
        workers: int | None = None,
        **kwargs: Any,
    ):
        """Arguments beside those of TFDS matter for preparation alone.

        Args:
            source_dir: the official unpacked layout; None takes TFDS's `manual_dir`.
            allow_missing_videos: whether videos that the lists name may be absent.
            strict_data: whether a single unreadable video ends the preparation.
            workers: videos decoded at the same time; None takes all cores.
            **kwargs: `data_dir`, `config`, `version` of TFDS.
        """
        self._source_dir = None if source_dir is None else Path(source_dir)
        self._allow_missing_videos = allow_missing_videos
        self._strict_data = strict_data
        self._workers = workers or len(os.sched_getaffinity(0))
        super().__init__(**kwargs)

    @abc.abstractmethod
    def list_videos(self, source_dir: Path | None) -> Listing:
        """Phase *list*: the videos of this config's split, below the official layout's root."""

    def read_frames(self, video: Video) -> Iterable[np.ndarray]:
        """The frames of a video, uint8 [H, W, 3] RGB, before they are resized."""
        assert video.path is not None
        return read_frames(video.path)

    def class_names(self, listing: Listing) -> list[str]:
        """The class names of a data set that does not know them before it is listed."""
        raise NotImplementedError

    def record_split(self, listing: Listing) -> None:
        """Writes the split down where the package has drawn it."""

    @property
    def unpacked_dir(self) -> Path:
        """Where archives are unpacked until the data set is stored."""
        return Path(self.data_dir_root) / f".unpacked-{self.name}"

    @property
    def staging_dir(self) -> Path:
        """Where decoded videos wait until the whole data set is stored."""
        return Path(self.data_dir_root) / f".decoded-{self.name}"

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
            license=self.LICENSE,
            features=tfds.features.FeaturesDict(
                {
                    "video": tfds.features.Video(
                        shape=(None, None, None, 3), encoding_format="jpeg"
                    ),
                    "label": tfds.features.ClassLabel(names=self.CLASS_NAMES),
                    "name": tfds.features.Text(),
                }
            ),
            supervised_keys=("video", "label"),
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        source_dir = self._source_dir
        if source_dir is None and self.LAYOUT:
            source_dir = Path(dl_manager.manual_dir)
        if source_dir is not None:
            source_dir = unpack_all(source_dir, self.ARCHIVES, self.unpacked_dir)
        listing = self.list_videos(source_dir)
        listing.check_disjoint()
        self._check_missing(listing)
        if self.CLASS_NAMES is None:
            self.info.features["label"].names = self.class_names(listing)
        staging = Staging(self.staging_dir, self.builder_config.shorter_side)
        videos = listing.train + listing.test
        failures = staging.decode_all(
            videos, self.read_frames, description=f"{self.name}: decode", workers=self._workers
        )
        self._check_failures(failures, len(videos))
        train, test = (
            [video for video in part if video.name not in failures]
            for part in (listing.train, listing.test)
        )
        self._check_filled(train, test)
        self.record_split(listing)
        self.info.metadata.update(
            failures=sorted(failures.items()),
            missing=listing.missing,
            unlisted=listing.unlisted,
            repeated=listing.repeated,
            num_unused=len(listing.unused),
            frames=0,
            min_height=2**31,
            min_width=2**31,
        )
        return {
            "train": self._generate_examples(staging, train),
            "test": self._generate_examples(staging, test),
        }

    def _generate_examples(
        self, staging: Staging, videos: list[Video]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        stored = tqdm(videos, f"{self.name}: store", unit=" videos", leave=False)
        facts = self.info.metadata
        for video, decoded in staging.load_all(stored):
            facts["frames"] += len(decoded.jpegs)
            facts["min_height"] = min(facts["min_height"], decoded.height)
            facts["min_width"] = min(facts["min_width"], decoded.width)
            yield (
                video.name,
                {"video": decoded.jpegs, "label": video.label, "name": video.name},
            )

    def _post_download_and_prepare_hook(self) -> None:
        shutil.rmtree(self.staging_dir, ignore_errors=True)
        shutil.rmtree(self.unpacked_dir, ignore_errors=True)

    def _check_missing(self, listing: Listing) -> None:
        if listing.missing and not self._allow_missing_videos:
            raise UserError(
                f"{self.name}: the lists of split {self.builder_config.split} name "
                f"{len(listing.missing)} videos that are not there, the first is "
                f"{listing.missing[0]}; get them, or go on without by allow_missing_videos=True"
            )

    def _check_filled(self, train: list[Video], test: list[Video]) -> None:
        for part, videos in (("train", train), ("test", test)):
            if not videos:
                raise UserError(
                    f"{self.name}: no {part} video of split {self.builder_config.split} is there; "
                    f"{self.how_to_get()}"
                )

    def _check_failures(self, failures: dict[str, str], count: int) -> None:
        if not failures or (not self._strict_data and len(failures) <= MAX_FAILED_SHARE * count):
            return
        name, reason = next(iter(failures.items()))
        limit = (
            "strict_data=True allows none" if self._strict_data else f"over {MAX_FAILED_SHARE:.0%}"
        )
        raise UserError(
            f"{self.name}: {len(failures)} of {count} videos cannot be used ({limit}), the first "
            f"is {name}: {reason}; replace these files"
        )

    @classmethod
    def config_for(cls, split: int, shorter_side: int | None) -> VideoConfig:
        """The config of that split and size, one of `BUILDER_CONFIGS` where it is among them.

        Raises:
            UserError: the data set has no such split.
        """
        if shorter_side is not None and shorter_side < 1:
            raise UserError(f"resize={shorter_side}: give the shorter side in pixels, from 1")
        splits = sorted({config.split for config in cls.BUILDER_CONFIGS})
        if split not in splits:
            known = ", ".join(map(str, splits))
            raise UserError(f"split={split}: {cls.name} has {known}; give one of these")
        asked = VideoConfig(split=split, shorter_side=shorter_side)
        named = {config.name: config for config in cls.BUILDER_CONFIGS}
        return named.get(asked.name, asked)

    @classmethod
    def roots(cls) -> list[str]:
        """The folders of the layout; "" where videos may lie anywhere below the root."""
        return ["" if "*" in folder else folder for folder in (p.split("/")[0] for p in cls.LAYOUT)]

    @classmethod
    def how_to_get(cls) -> str:
        """One sentence: the layout that is expected and where the data set is to be had."""
        return (
            f"it must hold {' and '.join(cls.LAYOUT)} as the official archives unpack "
            f"({cls.WHERE_TO_GET}); dataset=moving_shapes needs no download"
        )

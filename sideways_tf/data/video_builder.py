"""What all video data sets share: list, decode and store as an ordinary TFDS data set."""

import abc
import dataclasses
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from sideways_tf import progress
from sideways_tf.data.archives import unpack_all
from sideways_tf.data.checks import check_failures, check_filled, check_missing
from sideways_tf.data.listing import Listing, Video
from sideways_tf.data.staging import Staging
from sideways_tf.data.video_files import Decoded, VideoFile, encode
from sideways_tf.errors import UserError

SHORTER_SIDE = 128  # pixels, before a 112x112 crop


@dataclasses.dataclass(eq=False, kw_only=True)
class VideoConfig(tfds.core.BuilderConfig):
    """Which official split, and how large the stored frames are.

    Attributes:
        split: number of the official split, from 1.
        shorter_side: of the stored frames, in pixels; None stores them as they are.
        fps: frames per second that videos are resampled to; None takes all frames.
    """

    name: str = ""
    description: str | None = None
    split: int = 1
    shorter_side: int | None = SHORTER_SIDE
    fps: float | None = None

    def __post_init__(self) -> None:
        size = "as_is" if self.shorter_side is None else str(self.shorter_side)
        rate = "" if self.fps is None else f"_{self.fps:g}fps"
        self.name = self.name or f"split{self.split}_{size}{rate}"
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
    FLIPS: ClassVar[bool] = True
    """Whether a mirrored video is one of the same class."""

    def __init__(
        self,
        *,
        source_dir: str | os.PathLike[str] | None = None,
        allow_missing_videos: bool = False,
        allow_short_videos: bool = False,
        skip_unreadable: bool = False,
        strict_data: bool = False,
        workers: int | None = None,
        **kwargs: Any,
    ):
        """Arguments beside those of TFDS matter for preparation alone.

        Args:
            source_dir: the official unpacked layout; None takes TFDS's `manual_dir`.
            allow_missing_videos: whether videos that the lists name may be absent.
            allow_short_videos: whether videos that were cut short are taken as far as they go.
            skip_unreadable: whether any number of unreadable videos is left out; else 5 %.
            strict_data: whether a single unreadable video ends the preparation.
            workers: videos decoded at the same time; None takes all cores.
            **kwargs: `data_dir`, `config`, `version` of TFDS.
        """
        self._source_dir = None if source_dir is None else Path(source_dir)
        self._allow_missing_videos = allow_missing_videos
        self._allow_short_videos = allow_short_videos
        self._limits = {"strict_data": strict_data, "skip_unreadable": skip_unreadable}
        self._workers = workers or len(os.sched_getaffinity(0))
        super().__init__(**kwargs)

    @abc.abstractmethod
    def list_videos(self, source_dir: Path | None) -> Listing:
        """Phase *list*: the videos of this config's split, below the official layout's root."""

    def decode(self, video: Video) -> Decoded:
        """The frames of a video, as they are stored."""
        assert video.path is not None
        file = VideoFile(video.path, allow_short=self._allow_short_videos)
        config = self.builder_config
        return dataclasses.replace(
            encode(file.frames(config.fps), config.shorter_side),
            rate=file.header.rate,
            pixel_aspect=file.header.pixel_aspect,
            cut_short=file.cut_short,
        )

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
        config, root = self.builder_config, Path(self.data_dir_root)
        split = config.split if len(self.BUILDER_CONFIGS) > 1 else None
        if not self._allow_missing_videos:
            check_missing(self.name, split, listing, root / f"{self.name}-missing.txt")
        check_filled(self.name, split, listing, self.layout())
        if self.CLASS_NAMES is None:
            self.info.features["label"].names = self.class_names(listing)
        staging = Staging(self.staging_dir, f"{config.name} {self._allow_short_videos}")
        videos = listing.train + listing.test
        failures = staging.decode_all(
            videos, self.decode, description=f"{self.name}: decode", workers=self._workers
        )
        report = root / f"{self.name}-unreadable.txt"
        check_failures(self.name, failures, len(videos), report=report, **self._limits)
        for part in (listing.train, listing.test):
            part[:] = [video for video in part if video.name not in failures]
        check_filled(self.name, split, listing, self.layout())
        self.record_split(listing)
        self.info.metadata.update(self._facts(listing, failures))
        return {
            "train": self._generate_examples(staging, listing.train),
            "test": self._generate_examples(staging, listing.test),
        }

    def _facts(self, listing: Listing, failures: dict[str, str]) -> dict[str, Any]:
        """What is known of the data set before it is stored; `_generate_examples` adds to it."""
        classes = [{video.label for video in part} for part in (listing.train, listing.test)]
        return {
            "failures": sorted(failures.items()),
            "missing": listing.missing,
            "unlisted": listing.unlisted,
            "repeated": listing.repeated,
            "num_unused": len(listing.unused),
            "only_train": sorted(classes[0] - classes[1]),
            "only_test": sorted(classes[1] - classes[0]),
            "cut_short": [],
            "not_square": [],
            "rates": [],
            "frames": 0,
            "min_height": 2**31,
            "min_width": 2**31,
        }

    def _generate_examples(
        self, staging: Staging, videos: list[Video]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        stored = progress.over(videos, f"{self.name}: store", " videos")
        facts = self.info.metadata
        for video, decoded in staging.load_all(stored):
            facts["frames"] += len(decoded.jpegs)
            facts["min_height"] = min(facts["min_height"], decoded.height)
            facts["min_width"] = min(facts["min_width"], decoded.width)
            if decoded.rate:
                rates = [*facts["rates"], decoded.rate]
                facts["rates"] = [min(rates), max(rates)]
            if decoded.cut_short:
                facts["cut_short"].append([video.name, decoded.cut_short])
            if decoded.pixel_aspect != 1:
                facts["not_square"].append(video.name)
            yield (
                video.name,
                {"video": decoded.jpegs, "label": video.label, "name": video.name},
            )

    def _post_download_and_prepare_hook(self) -> None:
        shutil.rmtree(self.staging_dir, ignore_errors=True)
        shutil.rmtree(self.unpacked_dir, ignore_errors=True)

    @classmethod
    def config_for(
        cls, split: int, shorter_side: int | None, fps: float | None = None
    ) -> VideoConfig:
        """The config of that split, size and rate, one of `BUILDER_CONFIGS` where it is there.

        Raises:
            UserError: the data set has no such split.
        """
        if shorter_side is not None and shorter_side < 1:
            raise UserError(f"resize={shorter_side}: give the shorter side in pixels, from 1")
        if fps is not None and not 0 < fps < math.inf:
            raise UserError(f"fps={fps}: give frames per second, above 0")
        splits = sorted({config.split for config in cls.BUILDER_CONFIGS})
        if split not in splits:
            known = ", ".join(map(str, splits))
            raise UserError(f"split={split}: {cls.name} has {known}; give one of these")
        asked = VideoConfig(split=split, shorter_side=shorter_side, fps=fps)
        named = {config.name: config for config in cls.BUILDER_CONFIGS}
        return named.get(asked.name, asked)

    @classmethod
    def roots(cls) -> list[str]:
        """The folders of the layout; "" where videos may lie anywhere below the root."""
        return ["" if "*" in folder else folder for folder in (p.split("/")[0] for p in cls.LAYOUT)]

    @classmethod
    def layout(cls) -> str:
        """Lines below an error: the layout that is expected, where the data set is to be had."""
        parts = (
            f"  {' or '.join([part, *cls.ARCHIVES.get(part.split('/')[0], ())])}"
            for part in cls.LAYOUT
        )
        return "\n".join(
            [
                "expected, as the official archives unpack:",
                *parts,
                f"from {cls.WHERE_TO_GET}; dataset=moving_shapes needs no download",
            ]
        )

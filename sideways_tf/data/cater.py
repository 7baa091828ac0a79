"""CATER, subset `all_actions`: 5,500 synthetic videos of moving solids, used without labels."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from sideways_tf.data.listing import Listing, Video, is_hidden, read_lines
from sideways_tf.data.video_builder import VideoBuilder, VideoConfig

UNLABELLED = "unlabelled"


class Cater(VideoBuilder):
    """CATER from `all_actions/videos/*.avi` and `all_actions/lists/actions_present/`.

    Its official test set is `val.txt`. Auto-encoding needs no labels: every label is 0.
    """

    BUILDER_CONFIGS: ClassVar = [VideoConfig(shorter_side=None)]
    CLASS_NAMES: ClassVar = (UNLABELLED,)
    LAYOUT: ClassVar = ("all_actions/videos/*.avi", "all_actions/lists/actions_present/*.txt")
    ARCHIVES: ClassVar = {"all_actions": ("all_actions.zip", "all_actions.tar.gz")}
    WHERE_TO_GET: ClassVar = (
        "all_actions.zip from the CATER page of R. Girdhar and D. Ramanan, "
        "rohitgirdhar.github.io/CATER"
    )
    DESCRIPTION: ClassVar = "Synthetic videos of moving solids, 320x240 pixels, 300 frames each."
    HOMEPAGE: ClassVar = "https://rohitgirdhar.github.io/CATER/"
    CITATION: ClassVar = """@inproceedings{girdhar2020cater,
  title={CATER: A diagnostic dataset for Compositional Actions and TEmporal Reasoning},
  author={Girdhar, Rohit and Ramanan, Deva},
  booktitle={International Conference on Learning Representations}, year={2020}}"""
    LICENSE: ClassVar = "See the data set's page; the code that draws it is under Apache 2.0."
    MANUAL_DOWNLOAD_INSTRUCTIONS: ClassVar = f"Put into manual_dir: {WHERE_TO_GET}."

    def list_videos(self, source_dir: Path | None) -> Listing:
        assert source_dir is not None
        root = source_dir / "all_actions"
        listing = Listing()
        for part, file in (("train", "train.txt"), ("test", "val.txt")):
            listing.add(part, self._read(root, root / "lists" / "actions_present" / file))
        listed = {v.name for v in listing.train + listing.test}
        there = {path.name for path in (root / "videos").iterdir() if not is_hidden(path)}
        listing.unlisted.extend(sorted(there - listed))
        return listing

    def _read(self, root: Path, path: Path) -> Iterator[Video]:
        """Lines are `name.avi label,label,...`."""
        for line in read_lines(path, self.layout()):
            name = line.split()[0]
            yield Video(name, UNLABELLED, root / "videos" / name)

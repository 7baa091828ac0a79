"""HMDB51: 6,766 clips of 51 actions; each split uses 5,100 of them."""

from pathlib import Path
from typing import ClassVar

from sideways_tf.data.listing import Listing, Video, read_lines
from sideways_tf.data.video_builder import VideoBuilder
from sideways_tf.errors import UserError

_CLASS_NAMES = """
brush_hair cartwheel catch chew clap climb climb_stairs dive draw_sword dribble drink eat
fall_floor fencing flic_flac golf handstand hit hug jump kick kick_ball kiss laugh pick pour
pullup punch push pushup ride_bike ride_horse run shake_hands shoot_ball shoot_bow shoot_gun sit
situp smile smoke somersault stand swing_baseball sword sword_exercise talk throw turn walk wave
"""

_TRAIN, _TEST, _UNUSED = "1", "2", "0"


class Hmdb51(VideoBuilder):
    """HMDB51 from `hmdb51_org/<class>/*.avi` and `testTrainMulti_7030_splits/`."""

    CLASS_NAMES: ClassVar = tuple(_CLASS_NAMES.split())
    LAYOUT: ClassVar = ("hmdb51_org/<class>/*.avi", "testTrainMulti_7030_splits/*.txt")
    ARCHIVES: ClassVar = {
        "hmdb51_org": ("hmdb51_org.rar",),
        "testTrainMulti_7030_splits": ("test_train_splits.rar",),
    }
    WHERE_TO_GET: ClassVar = (
        "hmdb51_org.rar and test_train_splits.rar from the HMDB51 page of the Serre Lab, "
        "serre-lab.clps.brown.edu"
    )
    DESCRIPTION: ClassVar = "51 human actions in clips from films and the web, 240 pixels high."
    HOMEPAGE: ClassVar = (
        "https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/"
    )
    CITATION: ClassVar = """@inproceedings{kuehne2011hmdb,
  title={HMDB: a large video database for human motion recognition},
  author={Kuehne, Hildegard and Jhuang, Hueihan and Garrote, Estibaliz and Poggio, Tomaso
    and Serre, Thomas},
  booktitle={International Conference on Computer Vision}, year={2011}}"""
    LICENSE: ClassVar = "Creative Commons Attribution 4.0 International, by the data set's page."
    MANUAL_DOWNLOAD_INSTRUCTIONS: ClassVar = f"Put into manual_dir: {WHERE_TO_GET}."

    def list_videos(self, source_dir: Path | None) -> Listing:
        assert source_dir is not None
        folder = source_dir / "hmdb51_org"
        listing = Listing()
        for label in self.CLASS_NAMES:
            # Unpacked by hand, the archive of a class may leave a folder of its name in another.
            nested = folder / label / label
            videos = nested if nested.is_dir() else folder / label
            tagged = self._read_tags(source_dir, label)
            for part, wanted in (("train", _TRAIN), ("test", _TEST)):
                names = (name for name, tag in tagged if tag == wanted)
                listing.add(part, (Video(f"{label}/{n}", label, videos / n) for n in names))
            unused = (name for name, tag in tagged if tag == _UNUSED and (videos / name).exists())
            listing.unused.extend(f"{label}/{name}" for name in unused)
        listing.find_unlisted(folder)
        return listing

    def _read_tags(self, source_dir: Path, label: str) -> list[tuple[str, str]]:
        """File names and tags, from lines `name.avi TAG `."""
        lists, split = source_dir / "testTrainMulti_7030_splits", self.builder_config.split
        path = lists / f"{label}_test_split{split}.txt"
        tagged = []
        for line in read_lines(path, self.layout()):
            name, _, tag = line.rpartition(" ")
            if tag not in (_TRAIN, _TEST, _UNUSED) or not name:
                raise UserError(f"{path}: {line!r} is not `name.avi` and 0, 1 or 2; get it anew")
            tagged.append((name.strip(), tag))
        return tagged

"""UCF101: 13,320 clips of 101 actions, three official splits."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets.video  # noqa: F401 - registers the other `ucf101` before ours
from tensorflow_datasets.core import registered

from sideways_tf.data.listing import Listing, Video, printable, read_lines
from sideways_tf.data.video_builder import VideoBuilder
from sideways_tf.errors import UserError

# In the order of classInd.txt, which is not ASCII's.
_CLASS_NAMES = """
ApplyEyeMakeup ApplyLipstick Archery BabyCrawling BalanceBeam BandMarching BaseballPitch
Basketball BasketballDunk BenchPress Biking Billiards BlowDryHair BlowingCandles BodyWeightSquats
Bowling BoxingPunchingBag BoxingSpeedBag BreastStroke BrushingTeeth CleanAndJerk CliffDiving
CricketBowling CricketShot CuttingInKitchen Diving Drumming Fencing FieldHockeyPenalty
FloorGymnastics FrisbeeCatch FrontCrawl GolfSwing Haircut Hammering HammerThrow HandstandPushups
HandstandWalking HeadMassage HighJump HorseRace HorseRiding HulaHoop IceDancing JavelinThrow
JugglingBalls JumpingJack JumpRope Kayaking Knitting LongJump Lunges MilitaryParade Mixing
MoppingFloor Nunchucks ParallelBars PizzaTossing PlayingCello PlayingDaf PlayingDhol PlayingFlute
PlayingGuitar PlayingPiano PlayingSitar PlayingTabla PlayingViolin PoleVault PommelHorse PullUps
Punch PushUps Rafting RockClimbingIndoor RopeClimbing Rowing SalsaSpin ShavingBeard Shotput
SkateBoarding Skiing Skijet SkyDiving SoccerJuggling SoccerPenalty StillRings SumoWrestling
Surfing Swing TableTennisShot TaiChi TennisSwing ThrowDiscus TrampolineJumping Typing UnevenBars
VolleyballSpiking WalkingWithDog WallPushups WritingOnBoard YoYo
"""


class Ucf101(VideoBuilder, skip_registration=True):  # type: ignore[call-arg]
    """UCF101 from `UCF-101/<Class>/*.avi` and `ucfTrainTestlist/`."""

    CLASS_NAMES: ClassVar = tuple(_CLASS_NAMES.split())
    LAYOUT: ClassVar = ("UCF-101/<Class>/*.avi", "ucfTrainTestlist/*.txt")
    ARCHIVES: ClassVar = {
        "UCF-101": ("UCF101.rar",),
        "ucfTrainTestlist": ("UCF101TrainTestSplits-RecognitionTask.zip",),
    }
    WHERE_TO_GET: ClassVar = (
        "UCF101.rar and UCF101TrainTestSplits-RecognitionTask.zip from the UCF101 page of the "
        "Center for Research in Computer Vision, www.crcv.ucf.edu/data/UCF101.php"
    )
    DESCRIPTION: ClassVar = "101 human actions in 13,320 clips from the web, 320x240 pixels."
    HOMEPAGE: ClassVar = "https://www.crcv.ucf.edu/data/UCF101.php"
    CITATION: ClassVar = """@article{soomro2012ucf101,
  title={UCF101: A Dataset of 101 Human Actions Classes From Videos in The Wild},
  author={Soomro, Khurram and Zamir, Amir Roshan and Shah, Mubarak},
  journal={arXiv preprint arXiv:1212.0402}, year={2012}}"""
    LICENSE: ClassVar = (
        "No licence is stated; the clips come from a public video site and remain their authors'. "
        "The page offers them for research."
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS: ClassVar = f"Put into manual_dir: {WHERE_TO_GET}."

    def list_videos(self, source_dir: Path | None) -> Listing:
        assert source_dir is not None
        listing = Listing()
        for part in ("train", "test"):
            path = (
                source_dir / "ucfTrainTestlist" / f"{part}list{self.builder_config.split:02d}.txt"
            )
            listing.add(part, self._read(source_dir / "UCF-101", path))
        listing.find_unlisted(source_dir / "UCF-101")
        return listing

    def _read(self, folder: Path, path: Path) -> Iterator[Video]:
        """Lines are `Class/name.avi label` in train lists, `Class/name.avi` in test lists."""
        for line in read_lines(path, self.layout()):
            name = line.split()[0]
            label = name.split("/")[0]
            if label not in self.CLASS_NAMES:
                raise UserError(f"{path}: {line!r} names no UCF101 class; get the list anew")
            yield Video(printable(folder / name, folder), label, folder / name)


# TFDS brings a UCF101 of its own, with other configs: here the name means this one.
registered._DATASET_REGISTRY[Ucf101.name] = Ucf101

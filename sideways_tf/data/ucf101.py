"""UCF101: 13,320 clips of 101 actions, three official splits."""

from pathlib import Path
from typing import ClassVar

import tensorflow_datasets.video  # noqa: F401 - registers the other `ucf101` before ours
from tensorflow_datasets.core import registered

from sideways_tf.data.staging import Video
from sideways_tf.data.video_builder import Listing, VideoBuilder
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
    MANUAL_DOWNLOAD_INSTRUCTIONS: ClassVar = f"Unpack into manual_dir: {WHERE_TO_GET}."

    def list_videos(self, source_dir: Path | None) -> Listing:
        assert source_dir is not None
        lists, split = source_dir / "ucfTrainTestlist", self.builder_config.split
        train, missing_train = _read_list(source_dir, lists / f"trainlist{split:02d}.txt")
        test, missing_test = _read_list(source_dir, lists / f"testlist{split:02d}.txt")
        return Listing(train, test, missing_train + missing_test)


def _read_list(source_dir: Path, path: Path) -> tuple[list[Video], list[str]]:
    """Videos that are there, and names of those that are not, from `Class/name.avi [label]`."""
    if not path.is_file():
        raise UserError(f"{path}: no such split list; {Ucf101.how_to_get()}")
    videos: dict[str, Video] = {}
    missing: dict[str, None] = {}
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        if not line.strip():
            continue
        name = line.split()[0]
        label = name.split("/")[0]
        if label not in Ucf101.CLASS_NAMES:
            raise UserError(f"{path}: {line.strip()!r} names no UCF101 class; get the list anew")
        video = source_dir / "UCF-101" / name
        if video.is_file():
            videos[name] = Video(name, label, video)
        else:
            missing[name] = None
    return list(videos.values()), list(missing)


# TFDS brings a UCF101 of its own, with other configs: here the name means this one.
registered._DATASET_REGISTRY[Ucf101.name] = Ucf101

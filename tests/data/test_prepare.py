"""Preparation: official layouts in, every remedy named, nothing half-written."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils import file_utils

from sideways_tf.data import Clip, VideoDataset, open_dataset
from sideways_tf.data.hmdb51 import Hmdb51
from sideways_tf.data.prepare import prepare
from sideways_tf.data.ucf101 import Ucf101
from sideways_tf.data.video_builder import VideoConfig
from sideways_tf.data.video_files import VideoError, VideoFile, resize_shorter_side
from sideways_tf.errors import UserError
from tests.data.conftest import frame_numbers, write_video


@pytest.fixture
def tree(ucf_tree: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return shutil.copytree(ucf_tree, tmp_path / "source")


def _open(tree: Path, tmp_path: Path, **changes: object) -> VideoDataset:
    arguments = {"data_dir": str(tree), "cache_dir": str(tmp_path / "cache"), "resize": 16}
    return open_dataset("ucf101", **{**arguments, **changes})  # type: ignore[arg-type]


def test_official_class_orders() -> None:
    assert len(Ucf101.CLASS_NAMES) == 101
    assert len(Hmdb51.CLASS_NAMES) == 51
    assert Ucf101.CLASS_NAMES[46:48] == ("JumpingJack", "JumpRope")  # ASCII has them reversed
    assert list(Hmdb51.CLASS_NAMES) == sorted(Hmdb51.CLASS_NAMES)


def test_stored_frames_are_the_decoders_frames_in_order(ucf_tree: Path, tmp_path: Path) -> None:
    builder = Ucf101(data_dir=tmp_path, config=VideoConfig(shorter_side=None), source_dir=ucf_tree)
    prepare(builder)
    count = 0
    for example in tfds.as_numpy(builder.as_dataset(split="train")):
        path = ucf_tree / "UCF-101" / example["name"].decode()
        decoded = np.stack(list(VideoFile(path).frames()))
        assert example["video"].shape == decoded.shape
        # A flat colour survives the JPEG coder but for the rounding of YCbCr.
        assert np.abs(example["video"].astype(int) - decoded).max() <= 3
        np.testing.assert_array_equal(frame_numbers(decoded / 255), np.arange(len(decoded)))
        count += 1
    assert count == 14


def test_second_opening_reuses_the_first(tree: Path, tmp_path: Path) -> None:
    _open(tree, tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("cache/**/*.tfrecord*")}
    _open(tree, tmp_path)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.glob("cache/**/*.tfrecord*")}
    assert len(before) == 2
    assert not list(tmp_path.glob("cache/*/.decoded*"))


def test_a_changed_source_is_prepared_anew(tree: Path, tmp_path: Path) -> None:
    _open(tree, tmp_path)
    write_video(tree / "UCF-101/YoYo/v_YoYo_g01_c01.avi", 0, frames=9)
    _open(tree, tmp_path)
    lists = tree / "ucfTrainTestlist/trainlist01.txt"
    lists.write_bytes(lists.read_bytes()[::1].replace(b"YoYo_g01", b"YoYo_g04", 1))
    _open(tree, tmp_path)
    assert len(list(tmp_path.glob("cache/ucf101-*/ucf101/split1_16"))) == 3


def test_a_prepared_folder_is_used_as_it_is(ucf_tree: Path, tmp_path: Path) -> None:
    prepare(Ucf101(data_dir=tmp_path, config=VideoConfig(shorter_side=16), source_dir=ucf_tree))
    dataset = open_dataset("ucf101", data_dir=str(tmp_path), cache_dir="/nowhere", resize=16)
    assert (dataset.num_train, dataset.num_test) == (14, 6)
    with pytest.raises(
        UserError, match="split2_16 is not there .prepared there: split1_16.*--split=2"
    ):
        open_dataset("ucf101", data_dir=str(tmp_path), split=2, resize=16)


def test_an_interrupted_preparation_continues(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    original = Ucf101.decode

    def interrupted(self: Ucf101, video: object) -> object:
        if len(decoded) == 5:
            raise KeyboardInterrupt
        decoded.append(video.name)  # type: ignore[attr-defined]
        return original(self, video)  # type: ignore[arg-type]

    def builder() -> Ucf101:
        config = VideoConfig(shorter_side=16)
        return Ucf101(data_dir=tmp_path / "out", config=config, source_dir=tree, workers=1)

    monkeypatch.setattr(Ucf101, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(builder())
    assert not builder().is_prepared()
    first = list(decoded)

    def counted(self: Ucf101, video: object) -> object:
        decoded.append(video.name)  # type: ignore[attr-defined]
        return original(self, video)  # type: ignore[arg-type]

    decoded.clear()
    monkeypatch.setattr(Ucf101, "decode", counted)
    prepare(builder())
    assert len(first) == 5
    assert sorted(first + decoded) == sorted(set(first + decoded))
    assert len(first + decoded) == 20
    assert builder().is_prepared()


def test_a_killed_preparation_is_not_taken_for_whole(tree: Path, tmp_path: Path) -> None:
    builder = Ucf101(data_dir=tmp_path, config=VideoConfig(shorter_side=16), source_dir=tree)
    half = Path(file_utils._get_incomplete_dir(str(builder.data_dir)))  # as TFDS names it
    assert half.parent == Path(builder.data_dir).parent
    half.mkdir(parents=True)
    (half / "dataset_info.json").write_text("{}")
    assert not builder.is_prepared()
    prepare(builder)
    assert not half.exists()
    assert len(list(Path(builder.data_dir).glob("*.tfrecord*"))) == 2


def test_missing_videos(tree: Path, tmp_path: Path) -> None:
    (tree / "UCF-101/YoYo/v_YoYo_g04_c01.avi").unlink()
    (tree / "UCF-101/Archery/v_Archery_g17_c01.avi").unlink()
    with pytest.raises(
        UserError, match=r"name 2 videos .*allow_missing_videos=True\n  .*YoYo/v_YoYo_g04"
    ):
        _open(tree, tmp_path)
    assert not list(tmp_path.glob("cache/**/*.tfrecord*"))
    dataset = _open(tree, tmp_path, allow_missing_videos=True)
    assert (dataset.num_train, dataset.num_test) == (13, 5)
    with pytest.raises(UserError, match="name 2 videos"):
        _open(tree, tmp_path)


def test_unreadable_videos(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "Archery/v_Archery_g02_c01.avi"
    (tree / "UCF-101" / name).write_bytes(b"")
    with pytest.raises(
        UserError, match=rf"1 of 20 .*strict_data=True allows none.*\n  {name}: the file is empty"
    ):
        _open(tree, tmp_path, strict_data=True)
    dataset = _open(tree, tmp_path)
    failures = [(name, "the file is empty")]
    assert dataset.failures == failures
    assert dataset.num_train == 13
    assert f"left out {name}: the file is empty" in capsys.readouterr().err
    with pytest.raises(
        UserError, match="1 of 20 .*strict_data=True"
    ):  # also where it has been prepared
        _open(tree, tmp_path, strict_data=True)
    (tree / "UCF-101/YoYo/v_YoYo_g01_c01.avi").write_text("not a video")
    with pytest.raises(UserError, match="2 of 20 videos cannot be used .over 5%"):
        _open(tree, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "kinetics"},
            "^dataset=kinetics: no such.* moving_shapes, moving_directions, moving_objects, ucf101",
        ),
        (
            {"data_dir": None},
            r"^dataset=ucf101 needs data_dir=DIR\n[^$]*www.crcv.ucf.edu.*moving_shapes",
        ),
        ({"name": "hmdb51", "data_dir": None}, r"hmdb51_org/[^$]*serre-lab"),
        ({"data_dir": "/no/such"}, "^data_dir=/no/such: no such folder"),
        ({"split": 4}, "^split=4: ucf101 has 1, 2, 3"),
        ({"name": "moving_shapes", "split": 2}, "^split=2: moving_shapes has 1"),
        ({"resize": 0}, "^resize=0"),
    ],
)
def test_bad_requests(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        open_dataset(**{"name": "ucf101", **arguments})  # type: ignore[arg-type]
    assert len(str(error.value).split("\n")[0]) < 200


def test_a_missing_split_list(tree: Path, tmp_path: Path) -> None:
    (tree / "ucfTrainTestlist/testlist02.txt").unlink()
    with pytest.raises(UserError, match="testlist02.txt: no such split list"):
        _open(tree, tmp_path, split=2)


def test_hmdb51_tags_and_file_names(tmp_path: Path) -> None:
    names = {
        "pour": ["a!(b)#_pour_u_0.avi", "c&[d]+_pour_u_1.avi", "e;f~@g_pour_u_2.avi"],
        "wave": ["w_wave_0.avi", "w_wave_1.avi", "w_wave_2.avi"],
    }
    lists = tmp_path / "testTrainMulti_7030_splits"
    lists.mkdir()
    for label in Hmdb51.CLASS_NAMES:
        rows = []
        for tag, name in zip("120", names.get(label, []), strict=False):
            rows.append(f"{name} {tag} \r\n")
            write_video(tmp_path / "hmdb51_org" / label / name, 1, frames=5)
        (lists / f"{label}_test_split1.txt").write_text("".join(rows), newline="")
    listing = Hmdb51(data_dir=tmp_path / "out", config="split1_128").list_videos(tmp_path)
    assert [v.name for v in listing.train] == ["pour/a!(b)#_pour_u_0.avi", "wave/w_wave_0.avi"]
    assert [v.name for v in listing.test] == ["pour/c&[d]+_pour_u_1.avi", "wave/w_wave_1.avi"]
    dataset = open_dataset(
        "hmdb51", data_dir=str(tmp_path), cache_dir=str(tmp_path / "cache"), resize=16
    )
    labels = [int(label) for _, label, _ in dataset.test_videos(Clip(1, size=16))]
    assert sorted(labels) == [Hmdb51.CLASS_NAMES.index("pour"), Hmdb51.CLASS_NAMES.index("wave")]


def test_header_frame_counts_are_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    write_video(path, 0, frames=12)
    content = bytearray(path.read_bytes())
    # `dwTotalFrames` of the main header and `dwLength` of the stream's, both claim 12 frames.
    for position in (content.index(b"avih") + 24, content.index(b"strh") + 40):
        assert content[position] == 12
        content[position] = 5
    path.write_bytes(content)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) != 12
    assert len(list(VideoFile(path).frames())) == 12


@pytest.mark.parametrize(
    ("height", "width", "shorter_side", "expected"),
    [
        (240, 320, 128, (128, 171)),
        (320, 240, 128, (171, 128)),
        (240, 240, 128, (128, 128)),
        (64, 80, 128, (128, 160)),
        (240, 320, None, (240, 320)),
        (4000, 16, 8, (2000, 8)),
    ],
)
def test_resize_keeps_the_aspect(
    height: int, width: int, shorter_side: int | None, expected: tuple[int, int]
) -> None:
    frame = np.zeros((height, width, 3), np.uint8)
    assert resize_shorter_side(frame, shorter_side).shape == (*expected, 3)


@pytest.mark.parametrize("content", [b"", b"text", b"RIFF\x00\x00\x00\x00AVI "])
def test_files_that_are_no_videos(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "v.avi"
    path.write_bytes(content)
    with pytest.raises(VideoError):
        list(VideoFile(path).frames())


@pytest.mark.parametrize(("split", "train", "test"), [(1, 272, 108), (2, 276, 104), (3, 273, 107)])
def test_real_ucf101_lists(
    real_data: Path, tmp_path: Path, split: int, train: int, test: int
) -> None:
    builder = Ucf101(data_dir=tmp_path, config=f"split{split}_128")
    listing = builder.list_videos(real_data / "ucf101")
    assert (len(listing.train), len(listing.test)) == (train, test)
    assert train + test + len(listing.missing) == 13_320


def test_real_ucf101(real_data: Path, tmp_path: Path) -> None:
    dataset = open_dataset(
        "ucf101",
        data_dir=str(real_data / "ucf101"),
        cache_dir=str(tmp_path),
        resize=32,
        allow_missing_videos=True,
    )
    assert (dataset.num_train, dataset.num_test, dataset.failures) == (272, 108, [])


def test_real_hmdb51(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "hmdb51"
    tags: dict[str, str] = {}
    for path in root.glob("hmdb51_org/*/*.avi"):
        lines = root / f"testTrainMulti_7030_splits/{path.parent.name}_test_split1.txt"
        rows = dict(line.split() for line in lines.read_text().splitlines())
        tags[f"{path.parent.name}/{path.name}"] = rows[path.name]
    listing = Hmdb51(data_dir=tmp_path, config="split1_128").list_videos(root)
    assert len(tags) == 6
    assert {v.name for v in listing.train} == {name for name, tag in tags.items() if tag == "1"}
    assert {v.name for v in listing.test} == {name for name, tag in tags.items() if tag == "2"}
    present = len(listing.train) + len(listing.test)
    assert present + len(listing.missing) == 3570 + 1530


def test_tfds_finds_the_builders() -> None:
    assert isinstance(tfds.builder("ucf101/split2_128", data_dir="/nowhere"), Ucf101)
    assert isinstance(tfds.builder("hmdb51/split3_128", data_dir="/nowhere"), Hmdb51)


def test_plain_tfds_prepares_and_loads(ucf_tree: Path, tmp_path: Path) -> None:
    config = tfds.download.DownloadConfig(manual_dir=ucf_tree)
    train, info = tfds.load(
        "ucf101/split1_128",
        split="train",
        data_dir=tmp_path,
        with_info=True,
        download_and_prepare_kwargs={"download_config": config},
    )
    assert {name: split.num_examples for name, split in info.splits.items()} == {
        "train": 14,
        "test": 6,
    }
    assert info.features["label"].int2str(46) == "JumpingJack"
    assert "Soomro" in info.citation
    assert all(example["video"].shape[1:] == (128, 192, 3) for example in tfds.as_numpy(train))


def test_moving_shapes_are_the_same_each_time(tmp_path: Path) -> None:
    first, second = (
        open_dataset("moving_shapes", cache_dir=str(tmp_path / name), resize=16)
        for name in ("a", "b")
    )
    assert (first.num_train, first.num_test, len(first.class_names)) == (320, 80, 8)
    for ours, theirs in zip(
        first.test_videos(Clip(1, size=16)), second.test_videos(Clip(1, size=16)), strict=True
    ):
        tf.debugging.assert_equal(ours[0], theirs[0])
        assert ours[2] == theirs[2]
    labels = [int(label) for _, label, _ in first.test_videos(Clip(1, size=16))]
    assert np.bincount(labels).tolist() == [10] * 8

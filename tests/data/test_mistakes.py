"""Folders that cannot be used, sizes that differ, splits that are empty: one line and a remedy."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from sideways_tf.data import Clip, VideoDataset, open_dataset
from sideways_tf.data.folder import Folder
from sideways_tf.data.hmdb51 import Hmdb51
from sideways_tf.data.prepare import BUILDERS, find_source, prepare
from sideways_tf.data.staging import Staging
from sideways_tf.data.video_builder import VideoConfig
from sideways_tf.errors import UserError
from tests.data.conftest import frame_numbers, make_video, write_video

CONFIG = VideoConfig(shorter_side=24)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two classes of three videos of 48x32 pixels."""
    for number in range(6):
        write_video(tmp_path / "in" / "ab"[number % 2] / f"{number}.avi", number, 5)
    return tmp_path / "in"


def _open(source: Path, tmp_path: Path, **arguments: object) -> VideoDataset:
    given = {"data_dir": str(source), "cache_dir": str(tmp_path / "cache"), "resize": 24}
    return open_dataset("folder", **{**given, **arguments})  # type: ignore[arg-type]


def _first_line(error: pytest.ExceptionInfo[UserError]) -> str:
    return str(error.value).split("\n")[0]


def test_two_preparations_of_one_set(source: Path, tmp_path: Path) -> None:
    """The second has waited for the first, and knows what came of it all the same."""
    (source / "a/broken.avi").write_bytes(b"")
    first, second = (
        Folder(data_dir=tmp_path / "out", config=CONFIG, source_dir=source, skip_unreadable=True)
        for _ in range(2)
    )
    assert prepare(first)
    assert not prepare(second)
    assert list(map(tuple, second.info.metadata["failures"])) == [
        ("a/broken.avi", "the file is empty")
    ]


@pytest.mark.parametrize("argument", ["data_dir", "cache_dir"])
def test_a_file_in_the_place_of_a_folder(source: Path, tmp_path: Path, argument: str) -> None:
    file = tmp_path / "file"
    file.write_text("dear")
    with pytest.raises(UserError, match=f"^{argument}={file}") as error:
        _open(source, tmp_path, **{argument: str(file)})
    assert "not a folder" in str(error.value) or "Not a directory" in str(error.value)
    assert file.read_text() == "dear"


def test_folders_that_are_not_there_are_named_as_they_were_given(tmp_path: Path) -> None:
    for argument in ("data_dir", "source_dir"):
        with pytest.raises(UserError, match=f"^{argument}=/no/such: no such folder") as error:
            find_source(Folder, "/no/such", CONFIG, argument)
        assert len(_first_line(error)) < 200


@pytest.mark.parametrize("name", [name for name, cls in BUILDERS.items() if cls.LAYOUT])
def test_the_sentence_above_a_layout_is_short(tmp_path: Path, name: str) -> None:
    for folder in (None, str(tmp_path / "none")):
        with pytest.raises(UserError) as error:
            open_dataset(name, data_dir=folder, cache_dir=str(tmp_path / "cache"))
        first, *layout = str(error.value).split("\n")
        assert len(first) <= 200
        assert layout


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Folder, "list_videos", pytest.fail)  # before any work
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match=rf"^cache_dir=.*: cannot be .*{os.strerror(number)}"):
        _open(source, tmp_path)


def test_a_full_disk_leaves_no_half_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = Folder(data_dir=tmp_path / "out", config=CONFIG, source_dir=source)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        with pytest.raises(UserError, match="no space left on this disk"):
            prepare(builder)
    assert [path for path in builder.staging_dir.iterdir()] == []
    assert prepare(builder)


def test_every_unreadable_video_is_named(source: Path, tmp_path: Path) -> None:
    for number in range(12):
        (source / f"a/bad{number:02d}.mp4").write_bytes(b"")
    with pytest.raises(UserError, match="12 of 18 videos cannot be used .over 5%") as error:
        _open(source, tmp_path)
    first, *rows, last = str(error.value).split("\n")
    assert first.endswith("go on without them by skip_unreadable=True")
    assert [row.split(":")[0].strip() for row in rows] == [f"a/bad{n:02d}.mp4" for n in range(10)]
    report = Path(last.removeprefix("  and 2 more, all in "))
    assert len(report.read_text().splitlines()) == 12
    dataset = _open(source, tmp_path, skip_unreadable=True)
    assert (dataset.num_train + dataset.num_test, len(dataset.failures)) == (6, 12)
    with pytest.raises(UserError, match="12 of 18 videos cannot"):  # nor from the cache
        _open(source, tmp_path)


def test_videos_cut_short_are_taken_where_that_is_asked(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_video(source / "a/6.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="with what there is of those cut short by allow_short"):
        _open(source, tmp_path)
    dataset = _open(source, tmp_path, allow_short_videos=True)
    assert dataset.num_train + dataset.num_test == 7
    assert "taken all the same: a/6.mkv (the file is cut short" in capsys.readouterr().err
    with pytest.raises(UserError, match="1 of 7 videos cannot"):  # nor from the cache
        _open(source, tmp_path)


def test_what_is_prepared_larger_is_resized_on_reading(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a/7.mp4", "b/7.mp4", "b/8.mp4"):
        make_video(source / name)  # with an edge, whose place tells the size
    prepare(Folder(data_dir=tmp_path / "out", config=CONFIG, source_dir=source))
    large = _open(tmp_path / "out", tmp_path, resize=16)
    assert capsys.readouterr().err.count("split1_24 of") == 1
    small = _open(source, tmp_path, resize=16)
    assert "resized" not in capsys.readouterr().err
    clip, draws = Clip(4, 12), {"seed": 0, "epoch": 0, "batch_size": 2}
    for ours, theirs in zip(
        large.train_batches(clip, **draws), small.train_batches(clip, **draws), strict=True
    ):
        assert np.abs(ours[0] - theirs[0]).mean() < 6 / 255
        np.testing.assert_array_equal(ours[1], theirs[1])
    whole = (data.test_videos(Clip(1, 16)).as_numpy_iterator() for data in (large, small))
    for (ours, _, _), (theirs, _, _) in zip(*whole, strict=True):
        np.testing.assert_array_equal(frame_numbers(ours), np.arange(len(theirs)))
        assert np.abs(ours - theirs).mean() < 6 / 255
    with pytest.raises(UserError, match="^size=17: "):
        large.test_videos(Clip(1, 17))


def test_what_is_prepared_smaller_is_refused_with_the_command(source: Path, tmp_path: Path) -> None:
    prepared = tmp_path / "my data"
    prepare(Folder(data_dir=prepared, config=CONFIG, source_dir=source))
    with pytest.raises(UserError, match=r"folder/split1_25 is not there .*: split1_24\)") as error:
        _open(prepared, tmp_path, resize=25)
    command = f"--source_dir=DIR '--data_dir={prepared}' --split=1 --resize=25"
    assert str(error.value).endswith(command)


def test_frames_kept_as_they_are_serve_sizes_up_to_their_own(source: Path, tmp_path: Path) -> None:
    as_is = VideoConfig(shorter_side=None)
    prepare(Folder(data_dir=tmp_path / "out", config=as_is, source_dir=source))
    assert _open(tmp_path / "out", tmp_path, resize=32).num_train == 4
    with pytest.raises(UserError, match=r"folder/split1_33 is not there .*: split1_as_is\)"):
        _open(tmp_path / "out", tmp_path, resize=33)


def _hmdb(root: Path, tags: dict[str, str]) -> None:
    (root / "testTrainMulti_7030_splits").mkdir(parents=True)
    for label in Hmdb51.CLASS_NAMES:
        path = root / f"testTrainMulti_7030_splits/{label}_test_split1.txt"
        path.write_text("".join(f"{name} {tag} \n" for name, tag in tags.items()))


def test_a_split_without_a_test_video_says_what_it_has(tmp_path: Path) -> None:
    _hmdb(tmp_path / "in", {"x.avi": "1", "y.avi": "0", "z.avi": "2"})
    for name in ("wave/x.avi", "wave/y.avi", "pour/x.avi"):
        write_video(tmp_path / "in/hmdb51_org" / name, 0, 3)
    with pytest.raises(
        UserError, match="no test video of split 1 .*, 2 are in train, 0 in test, 1 in neither"
    ):
        open_dataset("hmdb51", data_dir=str(tmp_path / "in"), allow_missing_videos=True)


def test_hmdb51_unpacked_by_hand(tmp_path: Path) -> None:
    """A folder of a class in a folder of its name, and an archive that was left."""
    _hmdb(tmp_path / "in", {"x.avi": "1", "y.avi": "2"})
    for name in ("wave/wave/x.avi", "wave/wave/y.avi"):
        write_video(tmp_path / "in/hmdb51_org" / name, 0, 3)
    arguments = {"data_dir": str(tmp_path / "in"), "cache_dir": str(tmp_path / "cache")}
    dataset = open_dataset("hmdb51", **arguments, allow_missing_videos=True)  # type: ignore[arg-type]
    assert (dataset.num_train, dataset.num_test) == (1, 1)
    (tmp_path / "in/hmdb51_org/pour.rar").write_bytes(b"Rar!")
    with pytest.raises(UserError, match=r"hmdb51_org/pour\.rar: damaged or cut short"):
        open_dataset("hmdb51", **arguments, allow_missing_videos=True)  # type: ignore[arg-type]
    (tmp_path / "in/hmdb51_org/pour").mkdir()  # unpacked, the archive is kept
    open_dataset("hmdb51", **arguments, allow_missing_videos=True)  # type: ignore[arg-type]


def test_a_damaged_staged_file_is_named(source: Path, tmp_path: Path) -> None:
    builder = Folder(data_dir=tmp_path / "out", config=CONFIG, source_dir=source)
    listing = builder.list_videos(source)
    staging = Staging(tmp_path, "kind")
    staging.decode_all(listing.train[:1], builder.decode, description="", workers=1)
    path = staging._file(listing.train[0])
    for content in (b"", path.read_bytes()[:-1], path.read_bytes() + b"x"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged, and removed now; start again"):
            list(staging.load_all(listing.train[:1]))
        assert not path.exists()

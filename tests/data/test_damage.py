"""One tree with every kind of damaged input: none crashes, hangs or is silently swallowed."""

import os
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from sideways_tf.data import Clip, VideoDataset, video_files
from sideways_tf.data.prepare import prepare
from sideways_tf.data.staging import Staging
from sideways_tf.data.summary import left_out, summarise
from sideways_tf.data.ucf101 import Ucf101
from sideways_tf.data.video_builder import VideoConfig
from sideways_tf.errors import UserError
from tests.data.conftest import write_video

LABEL = "Archery"
LISTED_MISSING = f"{LABEL}/missing.avi"
IN_NO_LIST = f"{LABEL}/in_no_list.avi"
GOOD = 360  # so many that the damaged ones stay below 5 %


def _truncate(share: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        write_video(path, 0, 20)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return damage


def _zero_header(path: Path) -> None:
    write_video(path, 0, 20)
    content = path.read_bytes()
    path.write_bytes(bytes(200) + content[200:])


def _audio(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))


def _image(path: Path) -> None:
    encoded, png = cv2.imencode(".png", np.zeros((24, 24, 3), np.uint8))
    assert encoded
    path.write_bytes(png.tobytes())


def _matroska(path: Path) -> None:
    write_video(path.with_suffix(".mkv"), 0, 5)
    path.with_suffix(".mkv").rename(path)


# What makes each file, and the reason that names it, or the frames that it holds all the same.
DAMAGES: dict[str, tuple[Callable[[Path], object], str | int]] = {
    "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
    "text": (lambda path: path.write_text("no video\n" * 500), "not a video"),
    "truncated_10": (_truncate(0.1), "cut short"),
    "truncated_50": (_truncate(0.5), "cut short"),
    "truncated_90": (_truncate(0.9), "cut short"),
    "audio": (_audio, "holds no video, only sound"),
    "directory": (lambda path: path.mkdir(), "Is a directory"),
    "dead_link": (lambda path: path.symlink_to("nowhere.avi"), "No such file"),
    "random": (
        lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
        "not a video",
    ),
    "zero_header": (_zero_header, 20),  # the decoder finds Motion JPEG frames without it
    "image_inside": (_image, 1),
    "one_frame": (lambda path: write_video(path, 0, 1), 1),
    "one_pixel": (lambda path: write_video(path, 0, 3, width=1, height=1), 3),
    "very_wide": (lambda path: write_video(path, 0, 3, width=4000, height=16), 3),
    "matroska_inside": (_matroska, 5),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("damaged")
    folder = root / "UCF-101" / LABEL
    good = folder / "good_0.avi"
    write_video(good, 0, 3)
    for number in range(1, GOOD):
        os.link(good, folder / f"good_{number}.avi")
    for name, (damage, _) in DAMAGES.items():
        damage(folder / f"{name}.avi")
    shutil.copy(good, root / "UCF-101" / IN_NO_LIST)
    latin = os.fsdecode(b"caf\xe9.avi")
    shutil.copy(good, folder / latin)
    names = [f"good_{number}.avi" for number in range(GOOD)]
    names += [f"{name}.avi" for name in DAMAGES] + ["missing.avi", "good_0.avi", latin]
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    rows = [f"{LABEL}/{name} 3  \r\n" for name in names]
    (lists / "trainlist01.txt").write_bytes(os.fsencode("\r\n".join(["", *rows])))
    shutil.copy(good, folder / "test.avi")
    (lists / "testlist01.txt").write_bytes(f"{LABEL}/test.avi \r\n".encode())
    return root


def _builder(tree: Path, data_dir: Path) -> Ucf101:
    config = VideoConfig(shorter_side=16)
    return Ucf101(data_dir=data_dir, config=config, source_dir=tree, allow_missing_videos=True)


def test_every_file_left_out_is_named_with_its_reason(tree: Path, tmp_path: Path) -> None:
    prepare(_builder(tree, tmp_path))
    builder = _builder(tree, tmp_path)
    named = dict(left_out(builder))
    expected = {
        f"{LABEL}/{k}.avi": reason for k, (_, reason) in DAMAGES.items() if isinstance(reason, str)
    }
    expected[f"{LABEL}/caf\\xe9.avi"] = "not UTF-8"
    expected[LISTED_MISSING] = "not there"
    expected[IN_NO_LIST] = "in no list"
    expected[f"{LABEL}/good_0.avi"] = "listed more than once, taken once"
    assert named.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in named[name], name
    usable = {f"{LABEL}/{k}.avi": n for k, (_, n) in DAMAGES.items() if isinstance(n, int)}
    frames = {
        str(name.numpy(), "utf-8"): len(pixels)
        for pixels, _, name in VideoDataset(builder).train_videos(Clip(1, size=16))
    }
    assert len(frames) == GOOD + len(usable)
    assert usable.items() <= frames.items()
    assert builder.info.splits["test"].num_examples == 1
    report = summarise(builder, seconds=1.0)
    written = (tmp_path / "ucf101-split1_16-left-out.txt").read_text()
    assert f"left out {len(expected)}" in report
    assert all(f"{name}: " in written for name in expected)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission(tree: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tree, tmp_path / "source", symlinks=True)
    (source / "UCF-101" / LABEL / "good_7.avi").chmod(0)
    prepare(_builder(source, tmp_path / "out"))
    named = dict(left_out(_builder(source, tmp_path / "out")))
    assert "Permission denied" in named[f"{LABEL}/good_7.avi"]


def test_a_video_in_both_train_and_test(tree: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(tree / "ucfTrainTestlist", source / "ucfTrainTestlist")
    (source / "UCF-101").symlink_to(tree / "UCF-101")
    with (source / "ucfTrainTestlist/testlist01.txt").open("a") as file:
        file.write(f"{LABEL}/good_3.avi\n")
    with pytest.raises(UserError, match="1 videos for both train and test, .*good_3.avi"):
        prepare(_builder(source, tmp_path / "out"))


@pytest.mark.parametrize("phase", ["decode", "store"])
def test_a_full_disk(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    def full(*_: object, **__: object) -> object:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if phase == "decode":
            patch.setattr(video_files, "encode_jpeg", full)
        else:
            patch.setattr(Staging, "load", full)
        with pytest.raises(UserError, match="no space left on this disk"):
            prepare(_builder(tree, tmp_path))
    assert not _builder(tree, tmp_path).is_prepared()
    assert not list(tmp_path.rglob("*.partial*"))
    prepare(_builder(tree, tmp_path))
    assert _builder(tree, tmp_path).is_prepared()


def test_a_damaged_staged_file_is_not_stored(tree: Path, tmp_path: Path) -> None:
    builder = _builder(tree, tmp_path)
    listing = builder.list_videos(tree)
    staging = Staging(builder.staging_dir, "split1_16")
    good = [video for video in listing.train if "good" in video.name][:2]
    staging.decode_all(good, builder.decode, description="", workers=1)
    path = staging._file(good[1])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged, and removed now; start again"):
        list(staging.load_all(good))
    assert not path.exists()

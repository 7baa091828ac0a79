"""A user's own videos and CATER: splits, classes, odd sizes and formats."""

import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest

from sideways_tf.data import Clip, VideoDataset, open_dataset
from sideways_tf.data.cater import Cater
from sideways_tf.data.folder import Folder
from sideways_tf.data.prepare import prepare
from sideways_tf.data.summary import summarise
from sideways_tf.data.video_builder import VideoConfig
from sideways_tf.errors import UserError
from tests.data.conftest import frame_numbers, make_video, write_video

CONFIG = VideoConfig(shorter_side=16)


def _open(source: Path, tmp_path: Path, name: str = "folder") -> VideoDataset:
    return open_dataset(name, data_dir=str(source), cache_dir=str(tmp_path / "cache"), resize=16)


def _names(dataset: VideoDataset, split: str) -> set[str]:
    videos = (
        dataset.train_videos(Clip(1, size=16))
        if split == "train"
        else dataset.test_videos(Clip(1, size=16))
    )
    return {str(name.numpy(), "utf-8") for _, _, name in videos}


def test_train_and_test_folders(tmp_path: Path) -> None:
    for name in ("train/cat/a.avi", "train/dog/b.avi", "test/cat/a.avi", "test/dog/c.avi"):
        write_video(tmp_path / "in" / name, 0, 3)
    (tmp_path / "in/train/cat/notes.md").write_text("no video")
    dataset = _open(tmp_path / "in", tmp_path)
    assert dataset.class_names == ["cat", "dog"]
    assert _names(dataset, "train") == {"train/cat/a.avi", "train/dog/b.avi"}
    assert _names(dataset, "test") == {"test/cat/a.avi", "test/dog/c.avi"}
    again = _open(tmp_path / "in", tmp_path)
    assert again.class_names == ["cat", "dog"]  # read back, not listed again


def test_split_by_a_list(tmp_path: Path) -> None:
    for name in ("cat/a b.avi", "cat/c.avi", "dog/d.avi", "dog/e.avi"):
        write_video(tmp_path / "in" / name, 0, 3)
    (tmp_path / "in/split.txt").write_text(
        "cat/a b.avi train\r\ncat/c.avi test \r\ndog/d.avi train\n"
    )
    dataset = _open(tmp_path / "in", tmp_path)
    assert _names(dataset, "train") == {"cat/a b.avi", "dog/d.avi"}
    assert _names(dataset, "test") == {"cat/c.avi"}
    (tmp_path / "in/split.txt").write_text("cat/a b.avi validation\n")
    with pytest.raises(UserError, match="split.txt: 'cat/a b.avi validation' is not"):
        _open(tmp_path / "in", tmp_path)


def test_seeded_share_of_each_class_is_written_down(tmp_path: Path) -> None:
    for number in range(10):
        for label in ("cat", "dog"):
            write_video(tmp_path / "in" / label / f"{number}.avi", 0, 2)

    def split(seed: int) -> str:
        out = tmp_path / f"out{seed}"
        prepare(Folder(data_dir=out, config=CONFIG, source_dir=tmp_path / "in", split_seed=seed))
        return (out / "folder-split.txt").read_text()

    rows = split(0).splitlines()
    for label in ("cat", "dog"):
        assert sum(row.startswith(label) and row.endswith(" test") for row in rows) == 3
        assert sum(row.startswith(label) and row.endswith(" train") for row in rows) == 7
    assert split(1).splitlines() != rows
    # What is written down reproduces the split.
    (tmp_path / "in/split.txt").write_text("\n".join(rows))
    builder = Folder(data_dir=tmp_path / "again", config=CONFIG)
    listing = builder.list_videos(tmp_path / "in")
    assert {f"{video.name} test" for video in listing.test} == {r for r in rows if r[-1] == "t"}


def test_odd_videos(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for part in ("train", "test"):
        write_video(source / part / "a/portrait.mp4", 0, 9, width=32, height=64)
        write_video(source / part / "a/slow.mkv", 0, 8, fps=6)
        write_video(source / part / "b/short.mov", 0, 7)
        grey = source / part / "b/grey.avi"
        writer = cv2.VideoWriter(
            str(grey), cv2.VideoWriter.fourcc(*"MJPG"), 25, (40, 30), isColor=False
        )
        for frame in range(5):
            writer.write(np.full((30, 40), 8 * frame + 4, np.uint8))
        writer.release()
    dataset = _open(source, tmp_path)
    lengths = {}
    for pixels, _, name in dataset.test_videos(Clip(1, size=16)).as_numpy_iterator():
        np.testing.assert_array_equal(frame_numbers(pixels), np.arange(len(pixels)))
        lengths[name.decode().rsplit("/")[-1]] = len(pixels)
    assert lengths == {"portrait.mp4": 9, "slow.mkv": 8, "short.mov": 7, "grey.avi": 5}
    batches = dataset.train_batches(Clip(12, 16), seed=0, epoch=0, batch_size=4)
    assert [clips.shape for clips, _ in batches] == [(4, 12, 16, 16, 3)]


def test_a_gif(tmp_path: Path) -> None:
    from PIL import Image

    frames = [Image.fromarray(np.full((20, 20, 3), 60 * i, np.uint8)) for i in range(4)]
    for part in ("train", "test"):
        (tmp_path / "in" / part / "a").mkdir(parents=True)
        path = tmp_path / "in" / part / "a" / "x.gif"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    dataset = _open(tmp_path / "in", tmp_path)
    (pixels, _, _), *_ = dataset.test_videos(Clip(1, size=16)).as_numpy_iterator()
    np.testing.assert_allclose(pixels.mean(axis=(1, 2, 3)) * 255, [0, 60, 120, 180], atol=2)


def test_frames_only_takes_any_depth_and_no_labels(tmp_path: Path) -> None:
    for name in ("top.avi", "a/1.avi", "a/2.avi", "a/b/3.avi", "a/b/4.avi", "c/5.mp4"):
        write_video(tmp_path / "in" / name, 0, 3)
    dataset = _open(tmp_path / "in", tmp_path, "frames_only")
    assert dataset.class_names == ["unlabelled"]
    assert dataset.num_train + dataset.num_test == 6


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_bad_share(tmp_path: Path, share: float) -> None:
    with pytest.raises(UserError, match="^test_share="):
        Folder(data_dir=tmp_path, config=CONFIG, test_share=share)


def test_no_videos(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(
        UserError, match=r"no train video is there\nexpected: a folder for each class"
    ):
        _open(tmp_path / "in", tmp_path)
    with pytest.raises(UserError, match="^dataset=folder needs data_dir=DIR"):
        open_dataset("folder")


def test_cater_keeps_size_and_needs_no_labels(tmp_path: Path) -> None:
    root = tmp_path / "in/all_actions"
    lists = root / "lists/actions_present"
    lists.mkdir(parents=True)
    for number, (part, labels) in enumerate([("train", "1,5,9"), ("train", "0"), ("val", "3")]):
        write_video(root / f"videos/CLEVR_new_{number}.avi", number, 4, width=40, height=30)
        with (lists / f"{part}.txt").open("a") as file:
            file.write(f"CLEVR_new_{number}.avi {labels}\n")
    write_video(root / "videos/extra.avi", 0, 4)
    prepare(Cater(data_dir=tmp_path / "out", source_dir=tmp_path / "in"))
    dataset = open_dataset("cater", data_dir=str(tmp_path / "out"), resize=None)
    assert (dataset.num_train, dataset.num_test) == (2, 1)
    shapes = [
        (pixels.shape, int(label)) for pixels, label, _ in dataset.train_videos(Clip(1, size=30))
    ]
    assert shapes == [((4, 30, 30, 3), 0)] * 2


def test_real_cater(real_data: Path, tmp_path: Path) -> None:
    dataset = open_dataset(
        "cater", data_dir=str(real_data / "cater"), cache_dir=str(tmp_path), resize=None
    )
    assert (dataset.num_train, dataset.num_test, dataset.failures) == (1, 1, [])
    (pixels, _, name), *_ = dataset.test_videos(Clip(1, size=240)).as_numpy_iterator()
    assert pixels.shape == (300, 240, 240, 3)
    assert name == b"CLEVR_new_000105.avi"


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    for name in ("cat/1.avi", "cat/2.avi", "dog/1.avi", "dog/2.avi"):
        write_video(tmp_path / "real" / name, 0, 3)
    (tmp_path / "in").mkdir()
    for label in ("cat", "dog"):
        (tmp_path / "in" / label).symlink_to(tmp_path / "real" / label)
    dataset = _open(tmp_path / "in", tmp_path)
    assert dataset.class_names == ["cat", "dog"]
    assert dataset.num_train + dataset.num_test == 4
    write_video(tmp_path / "real/dog/3.avi", 0, 3)  # behind a link, and yet a change
    changed = _open(tmp_path / "in", tmp_path)
    assert changed.num_train + changed.num_test == 5


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "in/cat/1.avi", 0, 3)
    (tmp_path / "in/cat/up").symlink_to(tmp_path / "in")
    with pytest.raises(UserError, match="in/cat/up: a link to a folder that holds it"):
        _open(tmp_path / "in", tmp_path)


def test_what_systems_leave_behind_is_no_video(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for name in ("cat/1.avi", "cat/2.avi"):
        write_video(source / name, 0, 3)
        (source / name).with_name("._" + Path(name).name).write_bytes(b"\0\5\26\7Mac OS X")
    (source / ".DS_Store").write_bytes(b"Bud1")
    write_video(source / ".thumbnails/1.avi", 0, 3)
    listing = Folder(data_dir=tmp_path / "out", config=CONFIG).list_videos(source)
    assert {video.name for video in listing.train + listing.test} == {"cat/1.avi", "cat/2.avi"}
    assert listing.unlisted == []


def test_a_list_with_a_byte_order_mark_and_accents_of_another_form(tmp_path: Path) -> None:
    apart = unicodedata.normalize("NFD", "caf\u00e9")
    for name in (f"{apart}/1.avi", f"{apart}/2.avi", "dog/caf\u00e9.avi", "dog/4.avi"):
        write_video(tmp_path / "in" / name, 0, 3)
    rows = "caf\u00e9/1.avi train\ncaf\u00e9/2.avi test\n"
    rows += f"dog/{apart}.avi train\ndog/4.avi test\n"
    (tmp_path / "in/split.txt").write_text(rows, encoding="utf-8-sig")
    dataset = _open(tmp_path / "in", tmp_path)
    assert dataset.class_names == ["caf\u00e9", "dog"]
    assert _names(dataset, "train") == {"caf\u00e9/1.avi", "dog/caf\u00e9.avi"}


def test_train_and_val_folders(tmp_path: Path) -> None:
    for name in ("train/cat/a.avi", "train/dog/b.avi", "val/cat/c.avi"):
        write_video(tmp_path / "in" / name, 0, 3)
    assert _names(_open(tmp_path / "in", tmp_path), "test") == {"val/cat/c.avi"}
    write_video(tmp_path / "in/test/dog/d.avi", 0, 3)
    listing = Folder(data_dir=tmp_path / "out", config=CONFIG).list_videos(tmp_path / "in")
    assert [video.name for video in listing.test] == ["test/dog/d.avi"]
    assert listing.unlisted == ["val/cat/c.avi"]


def test_folders_of_images_are_named_with_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "in/cat/my clip"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"cat/my clip/0\.jpg and 2 more\), no videos; ") as error:
        _open(tmp_path / "in", tmp_path)
    assert str(error.value).endswith(f"-i '{folder}/*.jpg' '{folder}.mp4'")


@pytest.mark.parametrize(
    ("videos", "said"),
    [
        (["my videos/cat/1.avi", "my videos/dog/2.avi"], "too deep .*: name '{root}/my videos' in"),
        (
            ["a/b/train/cat/1.avi", "a/b/test/cat/2.avi"],
            "too deep .*: name {root}/a/b in the place",
        ),
        (["train/cat/1.avi", "train/dog/2.avi"], "train/ is there, .* name {root}/train to draw"),
        (["1.avi", "2.avi"], "1.avi lies in no class folder: .* dataset=frames_only"),
    ],
)
def test_videos_that_lie_elsewhere_are_answered_with_the_folder_to_name(
    tmp_path: Path, videos: list[str], said: str
) -> None:
    root = tmp_path / "in"
    for name in videos:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"looked at by name alone")
    with pytest.raises(UserError, match=said.format(root=root)) as error:
        _open(root, tmp_path)
    assert "\n" not in str(error.value)


def test_a_video_below_the_others_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cat/1.avi", "cat/2.avi", "cat/more/3.avi"):
        write_video(tmp_path / "in" / name, 0, 3)
    _open(tmp_path / "in", tmp_path)
    said = "left out, for they are in no class folder or no list: cat/more/3.avi"
    assert said in capsys.readouterr().err


def test_the_report_names_classes_of_one_part_mixed_rates_and_odd_pixels(tmp_path: Path) -> None:
    write_video(tmp_path / "in/train/cat/a.avi", 0, 3)
    write_video(tmp_path / "in/train/cow/b.avi", 0, 3, fps=50)
    write_video(tmp_path / "in/test/cat/c.avi", 0, 3)
    make_video(tmp_path / "in/test/dog/d.mp4", aspect=(4, 3))
    builder = Folder(data_dir=tmp_path / "out", config=CONFIG, source_dir=tmp_path / "in")
    prepare(builder)
    report = summarise(builder, 1.0)
    for note in (
        "classes in train, not in test: cow\n",
        "classes in test, not in train: dog\n",
        "frame rates from 25 to 50 a second are mixed",
        "pixels are not square, frames are stored as they are: test/dog/d.mp4\n",
    ):
        assert f"note     {note}" in report


def test_frame_rates_are_evened_out_where_that_is_asked(tmp_path: Path) -> None:
    write_video(tmp_path / "in/train/cat/slow.avi", 0, 11, fps=10)
    write_video(tmp_path / "in/test/cat/fast.avi", 0, 21, fps=20)
    arguments = {"data_dir": str(tmp_path / "in"), "cache_dir": str(tmp_path / "cache")}
    dataset = open_dataset("folder", **arguments, resize=16, fps=10)  # type: ignore[arg-type]
    for pixels, _, name in dataset.test_videos(Clip(1, 16)).as_numpy_iterator():
        assert (name, len(pixels)) == (b"test/cat/fast.avi", 11)
        np.testing.assert_array_equal(frame_numbers(pixels), range(0, 21, 2))
    assert {len(pixels) for pixels, _, _ in dataset.train_videos(Clip(1, 16))} == {11}
    with pytest.raises(UserError, match="^fps=nan: give frames per second"):
        open_dataset("folder", **arguments, fps=float("nan"))  # type: ignore[arg-type]

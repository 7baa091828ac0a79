"""Videos as people have them: turned, cut short, of any codec and container, at any rate."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from sideways_tf.data import video_files
from sideways_tf.data.video_files import VideoError, VideoFile, encode, resample
from sideways_tf.data.video_header import as_shown
from tests.data.conftest import frame_numbers, make_video

CODECS = {
    "mp4": "mpeg4", "m4v": "mpeg4", "mov": "mpeg4", "avi": "mpeg4", "mkv": "mpeg4",
    "webm": "libvpx", "mpg": "mpeg1video", "ts": "mpeg2video", "wmv": "wmv2", "flv": "flv",
    "3gp": "h263",
}  # fmt: skip
FRAMES = 24  # of `make_video`


def _numbers(frames: list[np.ndarray]) -> list[int]:
    return frame_numbers(np.stack(frames) / 255).tolist()


@pytest.mark.parametrize("suffix", CODECS)
def test_containers_and_how_they_are_cut(tmp_path: Path, suffix: str) -> None:
    path = make_video(tmp_path / f"v.{suffix}", CODECS[suffix], options={"movflags": "faststart"})
    whole = VideoFile(path)
    assert _numbers(list(whole.frames())) == list(range(FRAMES))
    assert (whole.cut_short, whole.header.rate) == ("", 25)
    if suffix in ("mpg", "ts"):  # made for broadcast: nothing in them says how long they are
        return
    content = path.read_bytes()
    for share in (0.5, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(VideoError, match=r"cut short: it holds \d+ of \d+ bytes or more"):
            list(VideoFile(path).frames())
    short = VideoFile(path, allow_short=True)
    assert 1 < len(list(short.frames())) < FRAMES
    assert short.cut_short.startswith("the file is cut short")


def test_an_end_that_was_never_written(tmp_path: Path) -> None:
    """As an interrupted download leaves a file whose length was set first."""
    path = make_video(tmp_path / "v.mp4", options={"movflags": "faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3].ljust(len(content), b"\0"))
    with pytest.raises(VideoError, match=r"cut short: it ends after 0\.\d of 1\.0 seconds"):
        list(VideoFile(path).frames())
    assert 1 < len(list(VideoFile(path, allow_short=True).frames())) < FRAMES


def test_a_file_that_was_streamed_says_no_length(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mkv", options={"live": "1"})
    assert len(list(VideoFile(path).frames())) == FRAMES


def test_junk_behind_a_video_is_no_part_of_it(tmp_path: Path) -> None:
    for suffix in ("mp4", "avi", "mkv"):
        path = make_video(tmp_path / f"v.{suffix}", CODECS[suffix])
        path.write_bytes(path.read_bytes() + b"0123456789abcdef" * 9)
        assert len(list(VideoFile(path).frames())) == FRAMES


@pytest.mark.parametrize("matrix", list(itertools.product((1, -1), (1, -1), (False, True))))
def test_every_turn_and_mirror(matrix: tuple[int, int, bool]) -> None:
    first, second, across = matrix
    a, b, c, d = (0, first, second, 0) if across else (first, 0, 0, second)
    frame = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    places = {(a * x + c * y, b * x + d * y): frame[y, x] for y in range(2) for x in range(3)}
    left, top = (min(place[axis] for place in places) for axis in (0, 1))
    shown = as_shown(frame, (65536 * a, 65536 * b, 65536 * c, 65536 * d))
    assert shown.shape == ((3, 2, 3) if across else (2, 3, 3))
    for (x, y), pixel in places.items():
        np.testing.assert_array_equal(shown[y - top, x - left], pixel)


@pytest.mark.parametrize(
    ("turn", "row", "column"), [(0, 0, 0), (90, -1, 0), (180, -1, -1), (270, 0, -1)]
)
def test_frames_are_turned_as_a_player_shows_them(
    tmp_path: Path, turn: int, row: int, column: int
) -> None:
    """Turned left by 90 degrees, the upper left corner is the lower left one."""
    path = make_video(tmp_path / "v.mp4", turn=turn)
    frames = list(VideoFile(path).frames())
    assert {frame.shape for frame in frames} == {(176, 144, 3) if turn % 180 else (144, 176, 3)}
    assert len(frames) == FRAMES
    blue = frames[5][[0, 0, -1, -1], [0, -1, 0, -1], 2].reshape(2, 2) > 128
    assert np.argwhere(blue).tolist() == [[row % 2, column % 2]]


def test_a_codec_that_opencv_may_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVT_LOG", "0")
    path = make_video(tmp_path / "v.mp4", "libsvtav1", options={"preset": "12"})
    video = VideoFile(path)
    assert video.header.codec == "av1"
    assert _numbers(list(video.frames())) == list(range(FRAMES))


def test_both_decoders_give_the_same_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "v.mp4", turn=90)
    ours = np.stack(list(VideoFile(path).frames())).astype(int)
    monkeypatch.setattr(cv2.VideoCapture, "read", lambda self: (False, None))
    others = np.stack(list(VideoFile(path).frames())).astype(int)
    assert np.abs(ours - others).max() <= 3


def test_a_codec_that_nobody_knows_is_named_with_the_remedy(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make_video(tmp_path / "my video.mp4", "libx264")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"xyz1"))
    command = f"ffmpeg -i '{path}' -c:v libx264 '{tmp_path}/my video-h264.mp4'"
    with pytest.raises(VideoError, match="of codec unknown, cannot be decoded") as error:
        list(VideoFile(path).frames())
    assert str(error.value).endswith(command)
    assert capfd.readouterr() == ("", "")  # not a word of OpenCV's


def test_a_video_too_long_to_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_files, "_LARGEST", 5000)
    frame = np.zeros((16, 16, 3), np.uint8)
    encode([frame] * 2, None)
    with pytest.raises(VideoError, match="too long to store: .*; cut it into parts"):
        encode(itertools.repeat(frame), None)


def test_pixels_that_are_not_square_are_noted(tmp_path: Path) -> None:
    assert VideoFile(make_video(tmp_path / "v.mp4", aspect=(4, 3))).header.pixel_aspect == 4 / 3


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(1, [0]), (10, [0, 2, 3, 3]), (25, [0, 1, 2, 2, 2, 3, 3, 3, 4]), (50 / 3, [0, 1, 2, 2, 3, 3])],
)
def test_resampling_takes_the_frame_that_is_shown(rate: float, shown: list[int]) -> None:
    """Frames 0 to 4 at 0, 40, 80, 200 and 320 ms, as a phone may write them."""
    times = (0.0, 0.04, 0.08, 0.2, 0.32)
    frames = ((7 + time, np.array(number)) for number, time in enumerate(times))
    assert [int(frame) for frame in resample(frames, rate)] == shown


def test_a_video_of_variable_rate_is_resampled_by_its_times(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", times=(0, 1, 2, 10, 20))
    assert _numbers(list(VideoFile(path).frames())) == [0, 1, 2, 3, 4]
    assert _numbers(list(VideoFile(path).frames(5))) == [0, 2, 3, 3, 4]

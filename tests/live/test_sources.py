"""Sources: which one is meant, in which order its frames come, and what is wrong with it."""

import itertools

import cv2
import numpy as np
import pytest

from sideways_tf.errors import UserError
from sideways_tf.live.labels import NOTHING, read_labels
from sideways_tf.live.show import Movie, open_window, view
from sideways_tf.live.sources import open_source, square


def write(path, values, side=32):
    """A video of plain frames, one for each grey level."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (side + 8, side))
    for value in values:
        writer.write(np.full([side, side + 8, 3], value, np.uint8))
    writer.release()
    return path


def opened(given, **options):
    return open_source(str(given), **{"rate": 0.0, "loop": False, "stall_seconds": 1.0, **options})


def greys(frames):
    return [round(float(frame.mean()), -1) for frame in frames]


def test_the_videos_of_a_folder_come_by_name_from_any_frame_again_and_again(tmp_path):
    write(tmp_path / "b.avi", [80, 100])
    write(tmp_path / "a.avi", [20, 40, 60])
    (tmp_path / ".hidden").write_text("no video")
    source = opened(tmp_path)
    assert (source.rate, source.has_clock) == (20, False)
    assert greys(source.frames()) == [20, 40, 60, 80, 100]
    assert greys(source.frames(skip=2)) == [60, 80, 100]
    looped = opened(tmp_path, loop=True).frames(skip=4)
    assert greys(itertools.islice(looped, 3)) == [100, 20, 40]


def test_a_square_is_the_middle_of_a_frame():
    columns = np.tile(np.arange(40, dtype=np.uint8)[:, np.newaxis], [32, 1, 3])
    found = square(columns, 32)
    assert found.shape == (32, 32, 3)
    np.testing.assert_array_equal(found[0, :, 0], np.arange(4, 36))
    assert square(columns, 8).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "--source is missing"),
        ("/nowhere.mp4", "--source=/nowhere.mp4 is not there"),
        ("917", "camera 917 cannot be opened"),
        # Nobody listens at port 9 of this machine.
        ("http://127.0.0.1:9/x.mp4", "cannot be opened"),
        ("rtsp://127.0.0.1:9/x", "cannot be opened"),
    ],
)
def test_a_source_that_is_not_there_is_one_line(given, said):
    with pytest.raises(UserError, match=said) as caught:
        opened(given)
    assert "\n" not in str(caught.value)


def test_what_is_no_video_is_named(tmp_path):
    with pytest.raises(UserError, match="is an empty folder"):
        opened(tmp_path)
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(UserError, match="notes.txt: not a video"):
        list(opened(tmp_path).frames())


def test_labels_hold_from_their_start_up_to_their_end(tmp_path):
    path = tmp_path / "spans.csv"
    path.write_text("start,end,label\n2,3.5,run\n0.5,2,walk\n")
    labels = read_labels(str(path))
    assert labels.names == [NOTHING, "run", "walk"]
    assert [labels.at(s) for s in (0, 0.5, 1.9, 2, 3.49, 3.5, 99)] == [0, 2, 2, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no span"),
        ("start,end,label\n", "holds no span"),
        ("0,1,a\n1,x,b\n", "line 2: '1,x,b' is no span"),
        ("0,1\n", "line 1: '0,1' is no span"),
        ("2,1,a\n", "line 1"),
        ("0,nan,a\n", "line 1"),
        ("0,1,\n", "line 1"),
        ("0,2,a\n1,3,b\n", "a until 2 s and b from 1 s overlap"),
    ],
)
def test_bad_labels_are_one_line(text, said, tmp_path):
    (tmp_path / "spans.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        read_labels(str(tmp_path / "spans.csv"))


def test_labels_that_are_not_there():
    with pytest.raises(UserError, match="labels=/nowhere.csv: cannot be read"):
        read_labels("/nowhere.csv")


def test_a_movie_has_its_name_once_it_is_whole(tmp_path):
    picture = view([np.zeros([16, 16, 3], np.uint8)] * 3, "1  in 1 dropped 0 shown 0")
    assert picture.shape == (32, 52, 3)
    movie = Movie(str(tmp_path / "live.avi"), 25.0, by_clock=False)
    for _ in range(5):
        movie.show(picture)
    assert not (tmp_path / "live.avi").exists()
    movie.close()
    assert [file.name for file in tmp_path.iterdir()] == ["live.avi"]
    assert cv2.VideoCapture(str(tmp_path / "live.avi")).get(cv2.CAP_PROP_FRAME_COUNT) == 5


def test_a_movie_by_the_clock_plays_as_fast_as_it_was(tmp_path, monkeypatch):
    now = iter([0.0, 0.0, 0.3, 0.31, 1.0])  # the start, then each picture
    monkeypatch.setattr("sideways_tf.live.show.time.monotonic", lambda: next(now))
    movie = Movie(str(tmp_path / "live.avi"), 10.0, by_clock=True)
    for _ in range(4):
        movie.show(np.zeros([32, 52, 3], np.uint8))
    movie.close()
    assert cv2.VideoCapture(str(tmp_path / "live.avi")).get(cv2.CAP_PROP_FRAME_COUNT) == 11


@pytest.mark.parametrize(
    ("name", "said"), [("live.gif", "written as .mp4 or .avi"), ("no/live.mp4", "no folder")]
)
def test_a_movie_that_cannot_be_written_is_refused_before(name, said, tmp_path):
    with pytest.raises(UserError, match=said):
        Movie(str(tmp_path / name), 25.0, by_clock=False)


def test_without_a_display_there_is_a_line_and_no_window(monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert open_window() is None
    assert len(capsys.readouterr().err.splitlines()) == 1

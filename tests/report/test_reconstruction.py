"""Errors of what a stream shows, worked by hand on frames that say their number."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.engines import make_engine, schedule
from sideways_tf.errors import UserError
from sideways_tf.modules import SidewaysBlock
from sideways_tf.report import reconstruction_pictures as pictures
from sideways_tf.report.curves import TestCurves
from sideways_tf.report.reconstruction import (
    Errors,
    Network,
    measure_reconstruction,
    video_errors,
)

DEPTH = 3


def numbered_video(frames):
    """Frame n (from 1) is n everywhere, [frames, 2, 2, 3]."""
    return tf.ones([frames, 2, 2, 3]) * tf.reshape(tf.range(1.0, frames + 1), [-1, 1, 1, 1])


class Multiply(tf.keras.layers.Layer):
    """Multiplies by a number."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def call(self, x):
        return self.number * x


def modules(last=1.0):
    return [SidewaysBlock(Multiply(number)) for number in (1.0, 1.0, last)]


def network(last=1.0):
    def run(frames):
        for module in modules(last):
            frames = module(frames)
        return frames

    return Network(run, DEPTH)


def dataset(*videos):
    for n, frames in enumerate(videos):
        yield frames, tf.constant(0), tf.constant(f"video{n}")


def test_the_frame_that_is_shown():
    """The table of `source_frame`'s docstring, from `first_forward_step` on."""
    shown = {
        algorithm: [schedule.source_frame(algorithm, t, DEPTH) for t in range(3, 10)]
        for algorithm in ("sideways", "bp")
    }
    assert shown == {"sideways": [1, 2, 3, 4, 5, 6, 7], "bp": [1, 1, 1, 1, 1, 6, 6]}
    assert all(schedule.source_frame(a, t, DEPTH) < 1 for a in shown for t in (1, 2))


@pytest.mark.parametrize("algorithm", ["sideways", "bp"])
def test_a_stream_shows_just_these_frames(algorithm):
    """What the training streams hold as output, when weights stand still."""
    engine = make_engine(algorithm, modules(), lambda y, h: (y - h) ** 2, stream=True)
    engine.build(tf.TensorSpec([1, 2, 2, 3]))
    clip, seed = numbered_video(17)[:, tf.newaxis], tf.constant([0, 0])
    _, scanned = engine.learn(clip, clip, seed, 1, lambda *_: None, keep_outputs=True)
    shown = scanned.outputs[:, 0, 0, 0, 0].numpy().tolist()
    sources = [schedule.source_frame(algorithm, t, DEPTH) for t in range(1, 18)]
    assert shown == [max(0, source) for source in sources]


def test_errors_by_hand():
    """D = 3, nine frames, steps 3..9. A network that adds nothing shows its source frame: Sideways
    is 2 late, BP 2, 3, 4, 5, 6, 2, 3 late. One that doubles it is off by the source itself."""
    video = numbered_video(9)
    perfect = {rule: video_errors(video, video, rule, DEPTH) for rule in ("sideways", "bp")}
    assert perfect["sideways"] == Errors(4.0, 0.0, 4.0, 4.0)
    late = np.array([2, 3, 4, 5, 6, 2, 3])
    assert perfect["bp"] == pytest.approx((np.mean(late**2), 0.0, np.mean(late**2), 4.0))
    doubled = video_errors(video, 2 * video, "bp", DEPTH)
    sources, steps = np.array([1, 1, 1, 1, 1, 6, 6]), np.arange(3, 10)
    assert doubled.error == pytest.approx(np.mean((2 * sources - steps) ** 2))
    assert doubled.source_error == pytest.approx(np.mean(sources**2))


def test_each_video_counts_alike_and_the_network_is_run():
    videos = [numbered_video(9), numbered_video(60)]
    found = measure_reconstruction(network(last=2.0), "sideways", dataset(*videos), 2)
    rows = [video_errors(video, 2 * video, "sideways", DEPTH) for video in videos]
    assert found.videos == 2
    assert found.error == pytest.approx(np.mean([row.error for row in rows]))
    assert found.as_dict()["bp"]["latency_floor"] == pytest.approx(4.0)
    assert "floor" in found.table()


def test_a_video_that_ends_before_anything_is_shown_is_left_out_by_name(capsys):
    videos = dataset(numbered_video(9), numbered_video(2))
    assert measure_reconstruction(network(), "sideways", videos, 2).as_dict()["videos"] == 1
    said = "left out video1: it has 2 frames, the first output of 3 modules appears at 3"
    assert said in capsys.readouterr().err
    with pytest.raises(UserError, match="no test video is long enough for 3 modules"):
        measure_reconstruction(network(), "bp", dataset(numbered_video(2)), 1)
    with pytest.raises(UserError, match="cannot show short.avi: it has 2 frames"):
        pictures.shown(network(), "bp", numbered_video(2), "short.avi")


def test_pictures_show_what_the_errors_measure():
    video = numbered_video(9) / 255
    truth, shown = pictures.shown(network(), "bp", video)
    assert truth[:, 0, 0, 0].tolist() == list(range(3, 10))
    assert shown[:, 0, 0, 0].tolist() == [1, 1, 1, 1, 1, 6, 6]
    assert pictures.middle(truth, 3)[:, 0, 0, 0].tolist() == [5, 6, 7]
    assert len(pictures.middle(truth, 10)) == 7


def test_a_tiled_picture_keeps_every_pixel(tmp_path):
    red, blue = (np.full([4, 5, 3], colour, np.uint8) for colour in ([255, 0, 0], [0, 0, 255]))
    tiled = pictures.tile([[red, blue], [blue, red]])
    assert tiled.shape == (4 + 2 + 4, 5 + 2 + 5, 3)
    pictures.write_picture(tmp_path / "new" / "tiled.png", tiled)
    read = cv2.imread(str(tmp_path / "new" / "tiled.png"))[..., ::-1]
    np.testing.assert_array_equal(read, tiled)
    assert read[0, 0].tolist() == [255, 0, 0]
    assert read[0, -1].tolist() == [0, 0, 255]
    assert read[4, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".avi"])
def test_animations_can_be_played(suffix, tmp_path):
    frames = [
        pictures.labelled({"truth": np.full([24, 32, 3], 40 * n, np.uint8)}) for n in range(5)
    ]
    path = tmp_path / f"moving{suffix}"
    pictures.write_animation(path, frames)
    capture, levels = cv2.VideoCapture(str(path)), []
    while True:
        more, frame = capture.read()
        if not more:
            break
        levels.append(int(frame[-8, 16, 0]))
    assert np.abs(np.array(levels) - 40 * np.arange(5)).max() <= 4  # coders round colours


def test_an_animation_of_another_kind_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"moving\.webp: animations are \.gif"):
        pictures.write_animation(tmp_path / "moving.webp", [np.zeros([8, 8, 3], np.uint8)])


def test_the_curve_forgets_what_a_continued_run_repeats(tmp_path):
    curves = TestCurves(tmp_path)
    for iteration in (10, 20, 30, 20):
        curves.keep(iteration, {"error": iteration / 4})
    assert curves.points() == [{"iteration": 10, "error": 2.5}, {"iteration": 20, "error": 5.0}]

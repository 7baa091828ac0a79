"""The validation share: whole recordings, the same in any order, none of the test videos."""

import numpy as np
import pytest

from sideways_tf.data import Clip, open_dataset
from sideways_tf.data.holdout import held_out, recording
from sideways_tf.errors import UserError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Archery/v_Archery_g08_c01.avi", "v_Archery_g08"),
        ("golf/Tips_-_Hit_+_Yards!!!_golf_f_nm_np1_fr_med_0.avi", "Tips_-_Hit_+_Yards!!!"),
        ("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "April_09"),
        ("cat/7.avi", "7.avi"),
        ("alone.avi", "alone.avi"),
    ],
)
def test_recording(name: str, expected: str) -> None:
    assert recording(name) == expected


# Two classes of 12 recordings with 5 clips each, as UCF101 names them.
NAMES = [
    f"{label}/v_{label}_g{group:02}_c{clip:02}.avi"
    for label in ("Archery", "Biking")
    for group in range(12)
    for clip in range(5)
]


def test_a_quarter_of_each_class_in_whole_recordings() -> None:
    chosen = held_out(NAMES, 0.25)
    assert chosen.reshape(2, 12, 5).all(axis=2).sum(axis=1).tolist() == [3, 3]
    assert chosen.sum() == 30, "all clips of 3 recordings, none of another"


def test_the_same_videos_in_any_order() -> None:
    order = np.random.default_rng(0).permutation(len(NAMES))
    shuffled = held_out([NAMES[n] for n in order], 0.25)
    np.testing.assert_array_equal(shuffled, held_out(NAMES, 0.25)[order])


def test_one_recording_of_a_class_stays_for_training() -> None:
    assert held_out(["a/1.avi", "a/2.avi"], 0.9).sum() == 1
    assert not held_out(["a/1.avi"], 0.9).any()


def test_a_data_set_with_a_share_held_out(tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = str(tmp_path_factory.mktemp("cache"))
    whole = open_dataset("moving_shapes", data_dir=None, cache_dir=cache, resize=16)
    part = whole.hold_out(0.2)
    assert (part.num_train, part.num_test) == (256, 64)
    assert (whole.num_train, whole.num_test) == (320, 80), "the data set itself is as it was"

    def names(videos):  # type: ignore[no-untyped-def]
        return {name.numpy() for _, _, name in videos}

    held, kept = (
        names(part.test_videos(Clip(1, size=16))),
        names(part.train_videos(Clip(1, size=16))),
    )
    assert len(held) == 64
    assert not held & kept
    assert held | kept == names(whole.train_videos(Clip(1, size=16)))
    assert not held & names(whole.test_videos(Clip(1, size=16)))
    with pytest.raises(UserError, match=r"^holdout=0.001: moving_shapes has too few"):
        whole.hold_out(0.001)

"""What training sees: the right frames, one crop and flip a clip, repeatable, resumable."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.data import Clip, VideoDataset, open_dataset
from sideways_tf.errors import UserError
from tests.data.conftest import frame_numbers, video_numbers

NUM_TRAIN = 14
CLIP = {"frames": 8, "size": 24}
DRAWS = {"seed": 7, "epoch": 0, "batch_size": 3}
Batches = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def dataset(ucf_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> VideoDataset:
    cache = tmp_path_factory.mktemp("cache")
    return open_dataset("ucf101", data_dir=str(ucf_tree), cache_dir=str(cache), resize=32)


def _epoch(dataset: VideoDataset, **changes: object) -> Batches:
    draws = {**DRAWS, **changes}
    chosen = {name: draws.pop(name) for name in Clip.__dataclass_fields__ if name in changes}
    clip = Clip(**{**CLIP, **chosen})  # type: ignore[arg-type]
    return list(dataset.train_batches(clip, **draws).as_numpy_iterator())  # type: ignore[arg-type]


def _arrays(videos: tf.data.Dataset) -> Any:
    return videos.as_numpy_iterator()


def _assert_same(got: Batches, expected: Batches) -> None:
    assert len(got) == len(expected)
    for (clips, labels), (expected_clips, expected_labels) in zip(got, expected, strict=True):
        np.testing.assert_array_equal(clips, expected_clips)
        np.testing.assert_array_equal(labels, expected_labels)


def test_shapes_ranges_and_the_dropped_last_batch(dataset: VideoDataset) -> None:
    batches = _epoch(dataset)
    assert len(batches) == NUM_TRAIN // 3
    for clips, labels in batches:
        assert clips.shape == (3, 8, 24, 24, 3)
        assert clips.dtype == np.float32
        assert labels.shape == (3,)
        assert labels.dtype == np.int32
        assert clips.min() >= 0
        assert 0.1 < clips.max() <= 1


def test_clips_are_contiguous_and_wrap_around(dataset: VideoDataset) -> None:
    for clips, labels in _epoch(dataset, batch_size=1):
        video = video_numbers(clips)[0, 0]
        assert (video_numbers(clips) == video).all()
        assert labels[0] == (100, 2, 36)[video % 3]  # YoYo, Archery, HandstandPushups
        numbers = frame_numbers(clips)[0]
        length = 6 + video
        np.testing.assert_array_equal(numbers, (numbers[0] + np.arange(8)) % length)
        assert numbers[0] <= max(0, length - 8)


def _stride_3(dataset: VideoDataset, epoch: int) -> Batches:
    return _epoch(dataset, epoch=epoch, batch_size=1, frames=4, stride=3)


def test_stride(dataset: VideoDataset) -> None:
    for clips, _ in itertools.chain(*(_stride_3(dataset, epoch) for epoch in range(4))):
        numbers = frame_numbers(clips)[0]
        length = 6 + video_numbers(clips)[0, 0]
        np.testing.assert_array_equal(numbers, (numbers[0] + 3 * np.arange(4)) % length)
        assert numbers[0] <= max(0, length - 4 * 3)  # where all 12 frames fit, none is wrapped


def test_repeat_last(dataset: VideoDataset) -> None:
    for clips, _ in _epoch(dataset, batch_size=1, frames=20, padding="repeat_last"):
        last = 5 + video_numbers(clips)[0, 0]
        expected = np.minimum(np.arange(20), last)
        np.testing.assert_array_equal(frame_numbers(clips)[0], expected)


def test_every_video_comes_once_an_epoch_in_a_new_order(dataset: VideoDataset) -> None:
    orders = []
    for epoch in range(3):
        batches = _epoch(dataset, epoch=epoch, batch_size=1)
        order = [int(video_numbers(clips)[0, 0]) for clips, _ in batches]
        assert sorted(order) == list(range(NUM_TRAIN))
        orders.append(tuple(order))
    assert len(set(orders)) == 3


def test_an_epoch_repeats_bit_for_bit(dataset: VideoDataset) -> None:
    _assert_same(_epoch(dataset, epoch=2), _epoch(dataset, epoch=2))


def test_an_epoch_does_not_depend_on_parallelism(dataset: VideoDataset) -> None:
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    batches = dataset.train_batches(Clip(**CLIP), **DRAWS)
    serial = list(batches.with_options(options).as_numpy_iterator())
    _assert_same(serial, _epoch(dataset))


@pytest.mark.parametrize("skip", [0, 1, 3, 4])
def test_resuming_equals_the_rest_of_the_epoch(dataset: VideoDataset, skip: int) -> None:
    _assert_same(_epoch(dataset, skip=skip), _epoch(dataset)[skip:])


@pytest.mark.parametrize("change", [{"seed": 8}, {"epoch": 1}])
def test_another_seed_or_epoch_draws_anew(dataset: VideoDataset, change: dict[str, int]) -> None:
    changed, clips = ([clips for clips, _ in _epoch(dataset, **kw)] for kw in (change, {}))
    assert not np.array_equal(changed, clips)


def test_draws_do_not_depend_on_the_place_in_the_epoch(dataset: VideoDataset) -> None:
    """A clip is a function of (seed, epoch, video), whatever the batch it comes in."""
    by_batch = []
    for batch_size in (2, 7):
        clips = [clips for clips, _ in _epoch(dataset, batch_size=batch_size)]
        by_batch.append(np.concatenate(clips, axis=0))
    np.testing.assert_array_equal(*by_batch)


def test_test_videos_are_whole_and_centred(dataset: VideoDataset) -> None:
    seen = set()
    for pixels, label, name in dataset.test_videos(Clip(**CLIP)).as_numpy_iterator():
        video = int(video_numbers(pixels)[0])
        seen.add(video)
        assert pixels.shape == (6 + video, 24, 24, 3)
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(frame_numbers(pixels), np.arange(6 + video))
        assert dataset.class_names[label] == name.decode().split("/")[0]
    assert seen == set(range(14, 20))


def test_test_videos_with_stride(dataset: VideoDataset) -> None:
    for pixels, _, _ in dataset.test_videos(Clip(**CLIP, stride=4)).as_numpy_iterator():
        length = 6 + int(video_numbers(pixels)[0])
        np.testing.assert_array_equal(frame_numbers(pixels), np.arange(0, length, 4))


def test_train_videos_have_the_form_of_test_videos(dataset: VideoDataset) -> None:
    videos = list(dataset.train_videos(Clip(**CLIP)).as_numpy_iterator())
    assert {int(video_numbers(pixels)[0]) for pixels, _, _ in videos} == set(range(NUM_TRAIN))


def test_tested_on_the_training_videos(dataset: VideoDataset) -> None:
    part = dataset.trained_on()
    videos = part.test_videos(Clip(**CLIP)).as_numpy_iterator()
    assert {int(video_numbers(pixels)[0]) for pixels, _, _ in videos} == set(range(NUM_TRAIN))
    assert (part.num_train, part.num_test) == (NUM_TRAIN, NUM_TRAIN)
    assert dataset.num_test != NUM_TRAIN


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (4, 1), (7, 2), (5, 3), (100, 1)])
def test_pieces_make_up_the_whole_videos(dataset: VideoDataset, length: int, stride: int) -> None:
    clip = Clip(1, 24, stride)
    whole = {name: (pixels, label) for pixels, label, name in _arrays(dataset.test_videos(clip))}
    parts: dict[bytes, list[np.ndarray]] = {}
    order = []
    for pixels, label, name, last in _arrays(dataset.test_pieces(clip, length=length)):
        assert label == whole[name][1]
        parts.setdefault(name, []).append(pixels)
        count = sum(map(len, parts[name]))
        assert 1 <= len(pixels) <= length
        assert len(pixels) == length or last
        assert last == (count == len(whole[name][0]))
        order += [name] if last else []
    assert order == list(whole)
    for name, pieces in parts.items():
        np.testing.assert_array_equal(np.concatenate(pieces), whole[name][0])
    with pytest.raises(UserError, match="^length=0: give"):
        dataset.test_pieces(clip, length=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 33}, "^size=33: the smallest frames of ucf101 are 48x32"),
        ({"batch_size": 15}, "^batch_size=15: ucf101 has 14 training videos"),
        ({"frames": 0}, "^frames=0: give"),
        ({"stride": 0}, "^stride=0: give"),
        ({"padding": "mirror"}, "^padding=mirror: give one of torus, repeat_last"),
    ],
)
def test_bad_requests(dataset: VideoDataset, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        _epoch(dataset, **changes)
    assert "\n" not in str(error.value)


def test_no_tuning_thread_that_an_epochs_end_might_wait_for(dataset: VideoDataset) -> None:
    clips = dataset.train_batches(Clip(**CLIP), **DRAWS)
    videos = dataset.test_videos(Clip(**CLIP))
    assert clips.take(1).options().autotune.enabled is False
    assert videos.options().autotune.enabled is False

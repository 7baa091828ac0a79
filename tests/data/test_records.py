"""Records are found and read wherever they lie, and of a record the frames that are asked for."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.data.records import find_example, index_records, read_frames

# Frames (empty, short, of sizes that take one, two and three bytes to write), label, name.
VIDEOS = [
    [([b"a", b"", b"c" * 1000], 3, b"first"), ([b"d" * 20000], 0, b"x" * 300)],
    [([bytes([i]) * 127 for i in range(200)], 70_000, "\u00e9".encode())],
    [],
]
FLAT = [video for file in VIDEOS for video in file]


def _read_all(*location: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    example = find_example(*location)
    return read_frames(example["path"], example["frames"]), example


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = []
    for number, videos in enumerate(VIDEOS):
        paths.append(str(tmp_path / f"{number}.tfrecord"))
        with tf.io.TFRecordWriter(paths[-1]) as writer:
            for frames, label, name in videos:
                features = {
                    "video": tf.train.Feature(bytes_list=tf.train.BytesList(value=frames)),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
                    "name": tf.train.Feature(bytes_list=tf.train.BytesList(value=[name])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
    return paths


def test_finds_what_tensorflow_wrote_in_any_order(files: list[str]) -> None:
    records = index_records(files)
    order = [2, 0, 1]
    assert len(records) == len(order)
    found = records.take(np.array(order)).dataset().map(_read_all)
    for position, (jpegs, example) in zip(order, found, strict=True):
        frames, label, name = FLAT[position]
        assert (int(example["label"]), example["name"].numpy()) == (label, name)
        assert jpegs.numpy().tolist() == frames


def test_reads_only_the_frames_asked_for_in_their_order(files: list[str]) -> None:
    asked = [7, 7, 150, 0]
    record = index_records(files).take(np.array([2])).dataset()
    found = record.map(find_example).map(
        lambda example: read_frames(example["path"], tf.gather(example["frames"], asked))
    )
    ((jpegs),) = found.as_numpy_iterator()
    assert jpegs.tolist() == [bytes([i]) * 127 for i in asked]


def test_a_file_cut_short_is_refused(files: list[str]) -> None:
    content = Path(files[0]).read_bytes()
    for end in (len(content) - 1, len(content) - 500, 5):
        Path(files[0]).write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"0\.tfrecord ends inside a record"):
            index_records(files)


def test_a_file_that_became_shorter_is_named(files: list[str]) -> None:
    records = index_records(files).take(np.array([0]))
    (example,) = records.dataset().map(find_example)
    Path(files[0]).write_bytes(b"")
    with pytest.raises(tf.errors.OpError, match=r"0\.tfrecord has become shorter"):
        list(records.dataset().map(find_example))
    part = tf.data.Dataset.from_tensors((example["path"], example["frames"]))
    with pytest.raises(tf.errors.OpError, match=r"0\.tfrecord has become shorter"):
        list(part.map(read_frames))

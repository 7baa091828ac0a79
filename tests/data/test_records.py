"""Records are found and read wherever they lie, without the records before them."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.data.records import index_records, read_record

CONTENTS = [[b"a", b"", b"c" * 1000], [b"dd"], []]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = []
    for number, contents in enumerate(CONTENTS):
        paths.append(str(tmp_path / f"{number}.tfrecord"))
        with tf.io.TFRecordWriter(paths[-1]) as writer:
            for content in contents:
                writer.write(content)
    return paths


def test_reads_what_tensorflow_wrote_in_any_order(files: list[str]) -> None:
    records = index_records(files)
    assert len(records) == 4
    picked = records.take(np.array([3, 2, 0, 1])).dataset().map(read_record)
    assert list(picked.as_numpy_iterator()) == [b"dd", b"c" * 1000, b"a", b""]


def test_a_file_cut_short_is_refused(files: list[str]) -> None:
    content = Path(files[0]).read_bytes()
    for end in (len(content) - 1, len(content) - 500, 5):
        Path(files[0]).write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"0\.tfrecord ends inside a record"):
            index_records(files)


def test_a_file_that_became_shorter_is_named(files: list[str]) -> None:
    records = index_records(files)
    Path(files[0]).write_bytes(b"")
    with pytest.raises(tf.errors.OpError, match=r"0\.tfrecord has become shorter"):
        list(records.dataset().map(read_record))

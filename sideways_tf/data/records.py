"""Random access to the examples of TFRecord files.

An index of where each record lies lets every epoch be a true permutation of the data set, at no
memory, and lets a run resume at any example without reading those before it.
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

# A record: length uint64, its checksum uint32, the data, their checksum uint32.
_HEADER_BYTES = 12
_FOOTER_BYTES = 4


@dataclass(frozen=True)
class RecordIndex:
    """Where the data of each record lie; arrays of equal length, in the order of the files.

    Attributes:
        paths: bytes [n], the file of each record.
        before, lengths, after: int64 [n], bytes of the file before, in and after the record.
    """

    paths: np.ndarray
    before: np.ndarray
    lengths: np.ndarray
    after: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, positions: np.ndarray) -> "RecordIndex":
        """The records at `positions`, int [m]."""
        return RecordIndex(*(column[positions] for column in self._columns()))

    def dataset(self) -> tf.data.Dataset:
        """Yields what `read_record` takes."""
        return tf.data.Dataset.from_tensor_slices(self._columns())

    def _columns(self) -> tuple[np.ndarray, ...]:
        return self.paths, self.before, self.lengths, self.after


def index_records(paths: Sequence[str]) -> RecordIndex:
    """Reads the record headers of TFRecord files.

    Raises:
        ValueError: a file ends inside a record.
    """
    rows: list[tuple[bytes, int, int, int]] = []
    for path in paths:
        end = os.path.getsize(path)
        with open(path, "rb") as file:
            position = 0
            while position < end:
                file.seek(position)
                header = file.read(8)
                length = struct.unpack("<Q", header)[0] if len(header) == 8 else end
                start = position + _HEADER_BYTES
                position = start + length + _FOOTER_BYTES
                if position > end:
                    raise ValueError(f"{path} ends inside a record")
                rows.append((os.fsencode(path), start, length, end - start - length))
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    numbers = (np.array(column, np.int64) for column in columns[1:])
    return RecordIndex(np.array(columns[0], object), *numbers)


def read_record(
    path: tf.Tensor, before: tf.Tensor, length: tf.Tensor, after: tf.Tensor
) -> tf.Tensor:
    """The data of one record, string []."""
    record = tf.data.FixedLengthRecordDataset(path, length, before, after)
    return record.get_single_element()

"""Random access to the examples of TFRecord files, and to the frames in them.

An index of where each record lies lets every epoch be a true permutation of the data set, at no
memory, and lets a run resume at any example without reading those before it. Of an example only
the frames that are asked for are read: a video may be longer than memory.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

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
        offsets, lengths: int64 [n], of the data in the file, in bytes.
    """

    paths: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, positions: np.ndarray) -> "RecordIndex":
        """The records at `positions`, int [m]."""
        return RecordIndex(*(column[positions] for column in self._columns()))

    def dataset(self) -> tf.data.Dataset:
        """Yields what `find_example` takes."""
        return tf.data.Dataset.from_tensor_slices(self._columns())

    def _columns(self) -> tuple[np.ndarray, ...]:
        return self.paths, self.offsets, self.lengths


def index_records(paths: Sequence[str]) -> RecordIndex:
    """Reads the record headers of TFRecord files.

    Raises:
        ValueError: a file ends inside a record.
    """
    rows: list[tuple[bytes, int, int]] = []
    for path in paths:
        end = os.path.getsize(path)
        with open(path, "rb") as file:
            position = 0
            while position < end:
                file.seek(position)
                header = file.read(8)
                length = struct.unpack("<Q", header)[0] if len(header) == 8 else end
                rows.append((os.fsencode(path), position + _HEADER_BYTES, length))
                position += _HEADER_BYTES + length + _FOOTER_BYTES
                if position > end:
                    raise ValueError(f"{path} ends inside a record")
    names, offsets, lengths = list(zip(*rows, strict=True)) or [(), (), ()]
    return RecordIndex(
        np.array(names, object), np.array(offsets, np.int64), np.array(lengths, np.int64)
    )


Example = dict[str, tf.Tensor]
"""`path`: string [], the file; `frames`: int64 [N, 2], where each JPEG starts in it and how many
bytes it has; `label`: int64 []; `name`: string []."""


def find_example(path: tf.Tensor, offset: tf.Tensor, length: tf.Tensor) -> Example:
    """Reads a stored example but for its frames."""
    # Plain system calls, ten times as fast here as a tf.data reader for one record.
    types = (tf.int64, tf.int64, tf.string)
    frames, label, name = tf.numpy_function(_find, [path, offset, length], types, stateful=False)
    return {
        "path": path,
        "frames": tf.ensure_shape(frames, [None, 2]),
        "label": tf.ensure_shape(label, []),
        "name": tf.ensure_shape(name, []),
    }


def read_frames(path: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
    """JPEG strings [n] of frames that `find_example` has found."""
    jpegs = tf.numpy_function(_read, [path, frames], tf.string, stateful=False)
    return tf.ensure_shape(jpegs, [None])


def _find(path: bytes, offset: np.int64, length: np.int64) -> tuple[np.ndarray, np.int64, bytes]:
    """An example is a message of nested fields: features, an entry for each, its list, values."""
    found: dict[bytes, np.ndarray] = {}
    with open(path, "rb") as file:
        start = int(offset)
        ((features, end),) = _fields(file, start, start + int(length))
        for entry, entry_end in _fields(file, features, end):
            (key, key_end), (value, value_end) = _fields(file, entry, entry_end)
            ((values, values_end),) = _fields(file, value, value_end)
            name = os.pread(file.fileno(), key_end - key, key)
            found[name] = np.array(list(_fields(file, values, values_end)), np.int64)
        (((label, _),), ((name_start, name_end),)) = found[b"label"], found[b"name"]
        number, _ = _varint(os.pread(file.fileno(), 10, label), 0)
        spans = found[b"video"]
        spans[:, 1] -= spans[:, 0]
        return spans, np.int64(number), os.pread(file.fileno(), name_end - name_start, name_start)


def _fields(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the contents of the fields of a message in bytes [start, end) start and end."""
    while start < end:
        head = os.pread(file.fileno(), 11, start)
        if not head:
            raise _shorter(file.name)
        size, used = _varint(head, 1)  # behind a tag of one byte
        start += used + size
        yield start - size, start


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the position behind it."""
    number = shift = 0
    while True:
        byte = data[position]
        number |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if byte < 0x80:
            return number, position


def _read(path: bytes, frames: np.ndarray) -> np.ndarray:
    with open(path, "rb", buffering=0) as file:
        jpegs = [os.pread(file.fileno(), size, start) for start, size in frames.tolist()]
    if any(len(jpeg) != size for jpeg, size in zip(jpegs, frames[:, 1], strict=True)):
        raise _shorter(path)
    return np.array(jpegs, object)


def _shorter(path: bytes | str) -> OSError:
    return OSError(f"{os.fsdecode(path)} has become shorter while it was read")

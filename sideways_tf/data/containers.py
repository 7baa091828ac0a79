"""How long a video file says it is: of one that was cut short, a decoder just shows less."""

import os
import struct
from collections.abc import Callable
from typing import BinaryIO

_UNKNOWN = 2**32 - 1  # of a file that was streamed, not yet closed
_BOXES = b"ftyp moov mdat free skip wide udta meta uuid moof mfra sidx styp pnot pdin emsg".split()


def stated_size(file: BinaryIO) -> int:
    """Bytes up to which the top-level chunks of `file` reach; 0 for a container without sizes.

    AVI, MP4 and MOV, Matroska and WebM, ASF (WMV) and FLV.
    """
    head = os.pread(file.fileno(), 2048, 0)
    if head[:3] == b"FLV":
        return _flv_size(head)
    length = next((step for magic, step in _CHUNKS.items() if head.startswith(magic)), None)
    if head[4:8] in _BOXES:
        length = _box_length
    end, size, known = 0, os.fstat(file.fileno()).st_size, length is not None
    while length and end < size and (step := length(os.pread(file.fileno(), 24, end))):
        end += step
    return end if known else 0


def _riff_length(header: bytes) -> int:
    size = int.from_bytes(header[4:8], "little")
    return 8 + size if header[:4] == b"RIFF" and 0 < size < _UNKNOWN else 0


def _box_length(header: bytes) -> int:
    if header[4:8] not in _BOXES:
        return 0
    size = int.from_bytes(header[:4], "big")
    return int.from_bytes(header[8:16], "big") if size == 1 else size


def _element_length(header: bytes) -> int:
    """Of EBML: an identity of four bytes, then a size whose leading zeros tell its own width."""
    if header[:4] not in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67") or not header[4]:
        return 0
    width = 9 - header[4].bit_length()
    unknown = 2 ** (7 * width) - 1
    size = int.from_bytes(header[4 : 4 + width], "big") & unknown
    return 0 if size == unknown else 4 + width + size


def _object_length(header: bytes) -> int:
    return int.from_bytes(header[16:24], "little")


_CHUNKS: dict[bytes, Callable[[bytes], int]] = {
    b"RIFF": _riff_length,
    b"\x1a\x45\xdf\xa3": _element_length,
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": _object_length,
}


def _flv_size(head: bytes) -> int:
    name, marker, value = head.partition(b"filesize\x00")
    return int(struct.unpack(">d", value[:8])[0]) if marker and len(value) >= 8 else 0

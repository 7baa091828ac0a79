"""Files that are never seen in part."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from sideways_tf.disk import full_disk_in_one_line


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Another name beside `path`, of the same ending, to write under; at the end it is renamed.

    Raises:
      UserError: the disk is full; what there was under `path` is kept.
    """
    part = path.with_name(f".part-{path.name}")
    try:
        with full_disk_in_one_line(path.parent, f"make room, {path.name} is not written"):
            yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write `text`, UTF-8, whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise

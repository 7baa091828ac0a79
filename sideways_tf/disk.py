"""A disk that is full, said in one line whoever notices it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from sideways_tf.errors import UserError


@contextlib.contextmanager
def full_disk_in_one_line(folder: Path, remedy: str) -> Iterator[None]:
    """Around what writes into `folder`; TensorFlow and the system say it in different ways.

    Args:
      remedy: what to do, and what is kept.
    """
    try:
        yield
    except Exception as error:
        if is_full(error):
            raise UserError(f"{folder}: no space left on this disk; {remedy}") from error
        raise


def is_full(error: BaseException) -> bool:
    """Whether it was raised because a disk, or the user's share of one, is full."""
    numbers = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in numbers or any(
        os.strerror(number) in str(error) for number in numbers
    )

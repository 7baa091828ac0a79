"""What a report has left out, in few lines."""

from __future__ import annotations

import sys
from collections.abc import Iterable


def folded(remarks: Iterable[str]) -> list[str]:
    """One line for each reason, of remarks "path: reason"; in the order of the first of each.

    Of many runs left out for one reason the first and the last are named.
    """
    places: dict[str, list[str]] = {}
    for remark in remarks:
        path, _, reason = remark.rpartition(": ") if remark.count(": ") == 1 else ("", "", remark)
        places.setdefault(reason, []).append(path)
    return [_line(found, reason) for reason, found in places.items()]


def _line(paths: list[str], reason: str) -> str:
    if not paths[0]:
        return reason
    if len(paths) == 1:
        return f"{paths[0]}: {reason}"
    return f"{len(paths)} runs, {paths[0]} to {paths[-1]}: {reason}"


def say(remarks: Iterable[str]) -> None:
    """Print them to stderr, `folded`."""
    for line in folded(remarks):
        print(line, file=sys.stderr)

"""What a preparation refuses: videos that are missing, unreadable, or in no part of the split."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from sideways_tf.data.listing import Listing
from sideways_tf.errors import UserError

MAX_FAILED_SHARE = 0.05
SHOWN = 10


def check_failures(
    name: str,
    failures: Mapping[str, str],
    count: int,
    *,
    strict_data: bool,
    skip_unreadable: bool,
    report: Path,
) -> None:
    """Refuses too many unreadable videos, each named with its reason.

    Args:
        name: of the data set.
        failures: reasons by the names of videos.
        count: videos in all.
        strict_data: whether one is too many.
        skip_unreadable: whether no number is too many; else it is 5 %.
        report: file for the whole list where the screen gets the first ten.

    Raises:
        UserError: there are too many.
    """
    allowed = 0 if strict_data else count if skip_unreadable else MAX_FAILED_SHARE * count
    if len(failures) <= allowed:
        return
    limit = "strict_data=True allows none" if strict_data else f"over {MAX_FAILED_SHARE:.0%}"
    remedy = "" if strict_data else ", or go on without them by skip_unreadable=True"
    if any("cut short" in reason for reason in failures.values()):
        remedy += ", or with what there is of those cut short by allow_short_videos=True"
    rows = [f"{video}: {why}" for video, why in sorted(failures.items())]
    raise UserError(
        f"{name}: {len(failures)} of {count} videos cannot be used ({limit}); replace these "
        f"files{remedy}\n{shown(rows, report)}"
    )


def check_missing(name: str, split: int | None, listing: Listing, report: Path) -> None:
    """Refuses a split of which listed videos are not there; None for the one split there is.

    Raises:
        UserError: naming them.
    """
    if listing.missing:
        raise UserError(
            f"{name}: the lists{_of(split)} name {len(listing.missing)} videos that are not "
            f"there; get them, or go on without by allow_missing_videos=True\n"
            f"{shown(listing.missing, report)}"
        )


def check_filled(name: str, split: int | None, listing: Listing, layout: str) -> None:
    """Refuses a split without a video for training, or without one for test.

    Args:
        name: of the data set.
        split: its number; None for a data set that has one split alone.
        listing: what is there.
        layout: lines that say what was expected.

    Raises:
        UserError: saying what is there.
    """
    train, test = len(listing.train), len(listing.test)
    if train and test:
        return
    part = "test" if train else "train"
    if not train and not test and not listing.unused:
        raise UserError(f"{name}: no {part} video{_of(split)} is there\n{layout}")
    neither = f", {len(listing.unused)} in neither" if listing.unused else ""
    remedy = "take another split, or get more videos" if split else "get more videos for it"
    raise UserError(
        f"{name}: no {part} video{_of(split)} is there: of the videos that are, {train} are in "
        f"train, {test} in test{neither}; {remedy}"
    )


def _of(split: int | None) -> str:
    return "" if split is None else f" of split {split}"


def shown(rows: Sequence[str], report: Path) -> str:
    """The first ten rows, indented; where there are more, all of them go into `report`."""
    lines = [f"  {row}" for row in rows[:SHOWN]]
    if len(rows) > SHOWN:
        more = f"  and {len(rows) - SHOWN} more"
        with contextlib.suppress(OSError):  # a prepared set may lie on a disk that is read only
            report.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
            more += f", all in {report}"
        lines.append(more)
    return "\n".join(lines)

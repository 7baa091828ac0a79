"""How much the pixels of a data set change from frame to frame: how smooth its videos are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from sideways_tf.report.table import Table

APART = (1, 2, 4, 8, 16)


def changes(frames: np.ndarray, apart: int) -> tuple[float, float] | None:
    """Mean absolute and mean squared difference of frames that are `apart`; None if too short.

    Args:
      frames: float [N, H, W, C] in [0, 1].
    """
    if len(frames) <= apart:
        return None
    # One pair at a time: a video may have thousands of frames.
    found = [
        (np.abs(step := b - a).mean(), np.square(step).mean())
        for a, b in zip(frames[:-apart], frames[apart:], strict=True)
    ]
    absolute, squared = np.mean(found, axis=0)
    return float(absolute), float(squared)


def motion_table(title: str, videos: Iterable[np.ndarray], apart: Sequence[int] = APART) -> Table:
    """Means over videos, each counting alike; a video counts where it is long enough.

    Args:
      videos: float [N, H, W, C] in [0, 1] each.
      apart: frames between the two that are compared.
    """
    rows: dict[int, list[tuple[float, float]]] = {n: [] for n in apart}
    for frames in videos:
        for n, found in rows.items():
            if (both := changes(frames, n)) is not None:
                found.append(both)
    means = [np.mean(found, axis=0) if found else None for found in rows.values()]
    cells = [
        ["-" if mean is None else format(mean[column], spec) for mean in means]
        for column, spec in ((0, ".2%"), (1, ".5f"))
    ]
    header = ["", *(f"{n} frame{'s' if n > 1 else ''} apart" for n in apart)]
    names = ("mean change, of white", "mean squared change")
    return Table(title, header, [[name, *row] for name, row in zip(names, cells, strict=True)])

"""A validation share: training videos held out, whole recordings at a time.

Clips cut from one recording look alike. A clip whose sisters were trained on would prove little,
so all clips of a recording are held out, or none, as the official splits do.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np


def recording(name: str) -> str:
    """What a video was cut from, by its name `class/file`.

    UCF101 numbers its groups (`v_Archery_g08_c01.avi` is of `v_Archery_g08`), HMDB51 puts the
    source before the class (`Film_golf_f_nm_np1_fr_med_0.avi` is of `Film`); any other video is a
    recording of its own.
    """
    label, _, file = name.rpartition("/")
    found = re.match(r"(.+_g\d+)_c\d+\.", file) or re.match(rf"(.+?)_{re.escape(label)}_", file)
    return found[1] if found else file


def held_out(names: Sequence[str], share: float) -> np.ndarray:
    """Which videos are held out, bool [n]: the same for the same names, in whatever order.

    In each class recordings are drawn until they hold `share` of its videos, to the nearest
    recording; at least one stays for training.

    Args:
      names: `class/file` of each video.
      share: in (0, 1).
    """
    classes: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for position, name in enumerate(names):
        classes[name.rpartition("/")[0]][recording(name)].append(position)
    chosen = np.zeros(len(names), bool)
    for label, recordings in classes.items():
        order = np.random.default_rng([*label.encode()]).permutation(sorted(recordings))
        wanted, held = share * sum(map(len, recordings.values())), 0
        for source in order[:-1]:
            videos = recordings[source]
            if held + len(videos) / 2 <= wanted:
                chosen[videos] = True
                held += len(videos)
    return chosen

"""Simple-CNN and VGG-8 with skips: their modules read a newer activation beside the older one.

Simple-CNN has batch norm here, as VGG-8 has in the paper: without it the network needs many times
the iterations before it sees motion at all.

Each skip joins by concatenation, where both activations are of one height and width. It takes one
computation step where the row takes two, so that it brings a frame that is newer by one:

    simple_cnn_skip    1 -> 3, 3 -> 5    module 3 meets frames t - 2 and t - 1; an output, 3 frames
    vgg8_skip          2 -> 4, 3 -> 5    an output, 2 frames
"""

from __future__ import annotations

from typing import Any

SKIPS: dict[str, list[tuple[int, int]]] = {
    "simple_cnn_skip": [(1, 3), (3, 5)],
    "vgg8_skip": [(2, 4), (3, 5)],
}


def skip_arguments(model: str) -> dict[str, Any]:
    """The arguments of `SidewaysModel` that `model` needs beside its layers."""
    return {"skips": SKIPS[model], "join": "concat"} if model in SKIPS else {}

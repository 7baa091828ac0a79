"""What `peers.py` and the processes of its rivals say to each other. No TensorFlow, no torch.

A process builds its step, runs it twice, and answers with the two losses. Then, for each line "n"
on its stdin, it runs n steps and answers with their seconds; it ends with its stdin.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

# Learning rate of plain SGD, which all frameworks compute alike.
RATE = 0.05


@dataclasses.dataclass(frozen=True)
class Peer:
    """One rival.

    Attributes:
      name: as in the table.
      folder: where clips and first weights lie.
      batch, frames, size, classes: B, K, pixels of a frame's side, classes.
      threads: of a kernel where one process works alone.
      channels_last: whether PyTorch's one-process and DDP rivals keep channels last in memory.
    """

    name: str
    folder: str
    batch: int
    frames: int
    size: int
    classes: int
    threads: int
    channels_last: bool

    def to_json(self) -> str:
        """One line."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> Peer:
        """The inverse of `to_json`."""
        return Peer(**json.loads(text))

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Clips float32 [K, B, H, W, 3] and labels int32 [B], the same for all."""
        draw = np.random.default_rng(0)
        shape = (self.frames, self.batch, self.size, self.size, 3)
        return draw.random(shape, np.float32), draw.integers(self.classes, size=self.batch)

    def weights(self) -> list[np.ndarray]:
        """Those that all start from: kernels [3, 3, in, out] in order, [in, out] and its bias."""
        with np.load(Path(self.folder) / "weights.npz") as kept:
            return [kept[name] for name in sorted(kept)]


def serve(make: Callable[[], Callable[[], float]]) -> None:
    """Make the step; two steps; then as many as are asked for."""
    with contextlib.redirect_stdout(sys.stderr):
        try:
            step = make()
            losses = [step(), step()]
        except Exception as error:
            # Whatever a foreign framework raises: the table says so.
            words = str(error).strip().splitlines() or [""]
            answer: dict[str, object] = {"error": f"{type(error).__name__}: {words[0]}"}
        else:
            answer = {"losses": losses}
    print(json.dumps(answer), flush=True)
    if "error" in answer:
        sys.stdout.flush()
        os._exit(1)  # Other threads may wait for processes that will not answer.
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            step()
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
    os._exit(0)

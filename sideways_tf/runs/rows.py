"""metrics.jsonl: what a run has measured, one JSON object a line, for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sideways_tf.screen import plain
from sideways_tf.whole_file import write_whole


class Rows:
    """The rows of one run, each with "part" ("train", "test" or "diagnosis") and "iteration".

    There is one of a part and iteration, however often the run was stopped or killed between its
    checkpoints.
    """

    def __init__(self, path: Path):
        self._path = path
        self._seen: set[tuple[str, int]] = set()

    def go_on_from(self, iteration: int) -> None:
        """Forget what lies behind `iteration`, which is measured anew, and what is cut off."""
        kept = []
        for line in self._path.read_text().splitlines() if self._path.exists() else []:
            try:
                row = json.loads(line)
            except ValueError:  # The last one of a process that was killed.
                continue
            if row["iteration"] <= iteration:
                kept.append(line)
                self._seen.add((row["part"], row["iteration"]))
        if self._path.exists():
            write_whole(self._path, "".join(f"{line}\n" for line in kept))

    def has(self, part: str, iteration: int) -> bool:
        """Whether there is such a row."""
        return (part, iteration) in self._seen

    def add(self, part: str, iteration: int, values: dict[str, Any]) -> dict[str, Any] | None:
        """Append a row and return it; None where it was there."""
        if self.has(part, iteration):
            return None
        self._seen.add((part, iteration))
        row = plain({"part": part, "iteration": iteration, **values})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        return row

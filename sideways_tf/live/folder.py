"""The folder of a stream that is learnt from: what it was begun with, and what came of it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from sideways_tf.errors import UserError
from sideways_tf.runs.checks import check_writable
from sideways_tf.whole_file import write_whole


class Folder:
    """`--workdir` of a stream.

    stream.json    the flags that weights, moments and pipe depend on
    checkpoints/   model, optimizers, pipe, counts, the place in a file; the newest two
    stream/        TensorBoard events
    results.json   the totals, whenever a start has ended
    .lock          locked as long as a process learns here

    Raises:
      UserError: if it cannot be written.
    """

    def __init__(self, path: str):
        self.path = Path(path).expanduser()
        self.checkpoints, self.curves = self.path / "checkpoints", self.path / "stream"
        self._note = self.path / "stream.json"
        self._lock: IO[str] | None = None
        check_writable("workdir", self.path)

    def claim(self, facts: Mapping[str, Any]) -> None:
        """Make the folder for a stream of these flags, or find it made for the same.

        Raises:
          UserError: naming the flags that are others now; if it holds something else, or another
            process learns there.
        """
        if self._note.exists():
            self._check(facts)
        elif self.path.exists() and any(self.path.iterdir()):
            raise UserError(
                f"--workdir={self.path} is not empty and holds no stream; name another folder"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / ".lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"--workdir={self.path}: another process learns there; let it end, or name another"
            ) from None
        write_whole(self._note, json.dumps(dict(facts), indent=1) + "\n")

    def _check(self, facts: Mapping[str, Any]) -> None:
        old = json.loads(self._note.read_text(encoding="utf-8"))
        changed = [
            f"--{name} was {old[name]}, now is {value}"
            for name, value in facts.items()
            if name in old and old[name] != value
        ]
        if changed:
            raise UserError(
                f"--workdir={self.path} holds a stream that was learnt otherwise: "
                f"{'; '.join(changed)}; name another --workdir"
            )

    def save_results(self, results: Mapping[str, Any]) -> None:
        """Write results.json; NaN, which JSON lacks, as null."""
        plain = {name: None if value != value else value for name, value in results.items()}
        write_whole(self.path / "results.json", json.dumps(plain, indent=1) + "\n")

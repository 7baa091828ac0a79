"""What a command says while it works: lines for people, JSON for programs, or the result alone.

    --log_format=json   one JSON object a line, with "event" and "time" (seconds since 1970): what
                        is said on stdout, how far it is, remarks and errors on stderr
    --quiet             neither how it starts nor how far it is; results, remarks and errors stay

Events of `train` are start, point (as in metrics.jsonl), test, stopped, finished and result; of
every command progress, note and error.
"""

from __future__ import annotations

import json
import math
import sys
import time
from typing import Any, TextIO

from tqdm import tqdm

FORMATS = ("text", "json")


class Screen:
    """That of this process; `settle` it before anything is said.

    Attributes:
      quiet: nothing of how it starts and how far it is.
      json: JSON objects, no text.
    """

    def __init__(self) -> None:
        self.quiet = self.json = False

    def settle(self, quiet: bool, log_format: str) -> None:
        """As the flags say."""
        self.quiet, self.json = quiet, log_format == "json"

    def say(self, event: str, text: str, **facts: Any) -> None:
        """The text, or the facts, on stdout; an empty text is for programs alone."""
        if self.json:
            self._write(sys.stdout, event, facts)
        elif text:
            tqdm.write(text)

    def tell(self, event: str, text: str, **facts: Any) -> None:
        """What --quiet leaves out, otherwise as `say`."""
        if not self.quiet:
            self.say(event, text, **facts)

    def note(self, text: str) -> None:
        """A remark, on stderr."""
        if self.json:
            self._write(sys.stderr, "note", {"text": text})
        else:
            tqdm.write(text, file=sys.stderr)

    def error(self, text: str) -> None:
        """What ends the command, on stderr."""
        if self.json:
            self._write(sys.stderr, "error", {"text": text})
        else:
            print(f"error: {text}", file=sys.stderr)

    def progress(
        self, what: str, done: float, total: float | None, seconds_left: float | None
    ) -> None:
        """How far something is, for programs, on stderr."""
        facts = {"what": what, "done": done, "total": total, "seconds_left": seconds_left}
        self._write(sys.stderr, "progress", facts)

    @staticmethod
    def _write(stream: TextIO, event: str, facts: dict[str, Any]) -> None:
        said = {"event": event, "time": round(time.time(), 3), **plain(facts)}
        print(json.dumps(said, ensure_ascii=False), file=stream, flush=True)


SCREEN = Screen()


def plain(value: Any) -> Any:
    """`value` as JSON knows it: numbers that are not finite are null."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

"""What finished runs have left."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sideways_tf.errors import UserError


def read_results(folder: Path) -> list[dict[str, Any]]:
    """All results below `folder`, in the order of their paths, with their "path".

    A damaged file and an unfinished run are named on stderr and left out; JSON files that are no
    results are passed by.
    """
    if not folder.is_dir():
        raise UserError(f"--results_dir={folder} is no folder: name one with finished runs below")
    runs = []
    for path in sorted(folder.rglob("*.json")):
        try:
            found = json.loads(path.read_text())
        except ValueError as error:
            print(f"left out {path}: damaged ({error})", file=sys.stderr)
            continue
        if isinstance(found, dict) and "configuration" in found:
            runs.append({**found, "path": str(path)})
    for flagfile in sorted(folder.rglob("flags.cfg")):
        if not flagfile.with_name("results.json").exists():
            print(f"left out {flagfile.parent}: the run is not finished", file=sys.stderr)
    return runs

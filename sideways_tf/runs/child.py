"""Modules of this package run as processes of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sideways_tf.runs.options import PACKAGE


def command(
    module: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What `subprocess` runs for `python -m module`: in this folder, wherever the package lies."""
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    return {
        "args": [sys.executable, "-m", module, *arguments],
        "env": {**os.environ, "PYTHONPATH": path, **(environment or {})},
    }

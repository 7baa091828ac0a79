"""A run's folder: its configuration and its results; never half-written."""

from __future__ import annotations

import json
import os
import pathlib
import time
from typing import Any

from sideways_tf.errors import UserError
from sideways_tf.runs import config as config_lib
from sideways_tf.runs.config import Config


class RunFolder:
    """The folder `--workdir` of one run.

    flags.cfg      the full configuration: a flagfile that runs it again
    checkpoints/   modules, optimizers and iteration; the newest few
    train/ test/   TensorBoard events
    results.json   once the run is finished
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path).expanduser()
        self.flags = self.path / "flags.cfg"
        self.checkpoints = self.path / "checkpoints"

    def check(self, config: Config) -> None:
        """Find the folder free, or made for `config`; writes nothing.

        Raises:
          UserError: if the folder holds a run of another configuration, or something else.
        """
        if self.flags.exists():
            old = self.config()
            names = config.differences(old)
            if names:
                first = names[0]
                raise UserError(
                    f"--workdir={self.path} holds a run of another configuration: --{first} was "
                    f"{getattr(old, first)}, now is {getattr(config, first)}"
                    f"{f' (and {len(names) - 1} more)' if len(names) > 1 else ''}; "
                    "name another --workdir, or none for a new one"
                )
        elif self.path.exists() and any(self.path.iterdir()):
            raise UserError(
                f"--workdir={self.path} is not empty and holds no run; name another folder"
            )

    def claim(self, config: Config) -> None:
        """Make the folder for `config`, or find it made for the same; see `check`."""
        self.check(config)
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.flags, "\n".join(config.flag_lines()) + "\n")

    def config(self) -> Config:
        """The configuration the folder was made for."""
        if not self.flags.exists():
            raise UserError(f"--workdir={self.path} holds no run: there is no {self.flags.name}")
        return config_lib.from_flagfile(str(self.flags))

    def results(self) -> dict[str, Any] | None:
        """results.json, once the run has finished.

        Raises:
          UserError: if the file is damaged.
        """
        path = self.path / "results.json"
        try:
            return json.loads(path.read_text()) if path.exists() else None
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}); remove it and run again") from None

    def finish(self, results: dict[str, Any]) -> None:
        """Write results.json."""
        write_whole(self.path / "results.json", json.dumps(results, indent=2) + "\n")


def new_run_path(config: Config) -> str:
    """A path that does not exist yet: runs/<data set>-<model>-<algorithm>-<time>."""
    stem = (
        f"runs/{config.dataset}-{config.model}-{config.algorithm}-{time.strftime('%Y%m%d-%H%M%S')}"
    )
    path, count = stem, 1
    while os.path.exists(path):
        count += 1
        path = f"{stem}-{count}"
    return path


def write_whole(path: pathlib.Path, text: str) -> None:
    """Write a file so that it is never seen in part."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)

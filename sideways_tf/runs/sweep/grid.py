"""A grid of settings: `--grid=FLAG=VALUE,VALUE` for each axis."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from sideways_tf.errors import UserError
from sideways_tf.runs.config import Config
from sideways_tf.runs.from_flags import from_lines

# A value for each axis, as it was written.
Setting = dict[str, str]

# What a sweep sets by itself.
RESERVED = {"workdir", "seed", "holdout"}


def parse_axes(texts: Sequence[str]) -> dict[str, list[str]]:
    """Flag -> its values, in the order given, from texts `FLAG=VALUE,VALUE`.

    Raises:
      UserError: no axis, an unknown flag, one twice, no values, or a value twice.
    """
    if not texts:
        raise UserError(
            "the grid is empty: give --grid=FLAG=VALUE,VALUE, --grid=learning_rate=1e-4,1e-5 say"
        )
    known = {field.name for field in dataclasses.fields(Config)}
    axes: dict[str, list[str]] = {}
    for text in texts:
        name, _, listed = text.partition("=")
        values = [value.strip() for value in listed.split(",") if value.strip()]
        for wrong, said in (
            (name in RESERVED, f"a sweep sets --{name} by itself; leave it out"),
            (name not in known, f"there is no flag --{name}; `sideways train --help` lists them"),
            (name in axes or len(set(values)) < len(values),
             "the flag or a value is there twice; once will do"),
            (not values or "/" in listed, "give values, comma-separated, without '/'"),
        ):  # fmt: skip
            if wrong:
                raise UserError(f"--grid={text}: {said}")
        axes[name] = values
    return axes


def combinations(axes: Mapping[str, Sequence[str]]) -> list[Setting]:
    """All settings, the last axis fastest; one empty setting if there are no axes."""
    return [dict(zip(axes, row, strict=True)) for row in itertools.product(*axes.values())]


def configure(base: Config, setting: Setting, **changes: object) -> Config:
    """`base` with `setting` and `changes`, checked as flags are.

    Raises:
      absl.flags.Error: naming a flag and a value it does not take.
    """
    lines = [*base.flag_lines(), *(f"--{name}={value}" for name, value in setting.items())]
    return dataclasses.replace(from_lines(lines), **changes)  # type: ignore[arg-type]


def words(setting: Setting) -> str:
    """`flag=value,flag=value`, the name of a folder."""
    return ",".join(f"{name}={value}" for name, value in setting.items())

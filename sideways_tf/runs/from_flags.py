"""Configurations from flags: of the command line, of a file, of results."""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from absl import flags

from sideways_tf.errors import UserError
from sideways_tf.runs import options
from sideways_tf.runs.checks import check_flags
from sideways_tf.runs.config import Config


def define_flags(values: flags.FlagValues) -> None:
    """Define one absl flag for each field of `Config`."""
    types = typing.get_type_hints(Config)
    for field in dataclasses.fields(Config):
        kind = types[field.name]
        options.define(values, field.name, field.default, kind=kind, **field.metadata["flag"])


def from_flags(
    values: flags.FlagValues, base: Config | None = None, checked: bool = True
) -> Config:
    """The configuration that the parsed flags say; those that were not given are of `base`.

    Raises:
      UserError: if `checked`, see `checks.check_flags`.
    """
    config = _read(values, base)
    if config.engine != values["engine"].value and values["engine"].present:
        new = f"--engine={config.engine}"
        print(f"--engine={values['engine'].value} of bp is now called {new}", file=sys.stderr)
    if checked:
        check_flags(config)
    return config


def _read(values: flags.FlagValues, base: Config | None = None) -> Config:
    chosen = dict(base.plain() if base else {})
    for field in dataclasses.fields(Config):
        if field.name not in chosen or values[field.name].present:
            chosen[field.name] = values[field.name].value
    try:
        chosen["drop_epochs"] = [int(epoch) for epoch in chosen["drop_epochs"] if epoch != ""]
    except ValueError:
        raise UserError(
            f"--drop_epochs={','.join(chosen['drop_epochs'])}: epochs are whole numbers, "
            "comma-separated"
        ) from None
    return from_plain(chosen)


def from_plain(fields: Mapping[str, Any]) -> Config:
    """The inverse of `Config.plain`."""
    return Config(**{**fields, "drop_epochs": tuple(fields["drop_epochs"])})


def from_lines(lines: Iterable[str]) -> Config:
    """The configuration that `lines`, `--name=value` each, say, the rest at its defaults.

    It is only read: what contradicts itself shows when it is trained.
    """
    values = flags.FlagValues()
    define_flags(values)
    options.parse(values, ["", *lines])
    return _read(values)

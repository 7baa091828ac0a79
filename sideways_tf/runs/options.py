"""Flags: of the type of their default, from files, their numbers finite."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from sideways_tf.errors import UserError
from sideways_tf.screen import FORMATS

# Where configs/NAME.cfg is found from any folder: in a wheel, and in a checkout.
PACKAGE = Path(__file__).resolve().parents[1]
SHIPPED = (PACKAGE, PACKAGE.parent)


def new_flags() -> tuple[flags.FlagValues, Callable[..., None]]:
    """The flags of a command, none so far, and `define` for them."""
    values = flags.FlagValues()
    return values, functools.partial(define, values)


def define(
    values: flags.FlagValues,
    name: str,
    default: Any,
    text: str,
    *,
    choices: Sequence[str] = (),
    low: float | None = None,
    high: float | None = None,
    kind: type | None = None,
) -> None:
    """Define the flag `name`, whose value is a `kind`, else of the type of `default`.

    Args:
      text: "group: what it is".
      low, high: of a number, inclusive.
    """
    kind = kind or (str if default is None else type(default))
    number = {int: flags.DEFINE_integer, float: flags.DEFINE_float}.get(kind)
    if choices:
        flags.DEFINE_enum(name, default, choices, text, values)
    elif number:
        number(name, default, text, low, high, values)
    elif kind in (bool, str):
        (flags.DEFINE_bool if kind is bool else flags.DEFINE_string)(name, default, text, values)
    else:
        flags.DEFINE_list(name, [str(each) for each in default], text, values)


def define_screen(values: flags.FlagValues) -> None:
    """Define the flags of `screen.py`."""
    define(values, "quiet", False, "run: say neither how it starts nor how far it is")
    define(
        values, "log_format", "text", "run: json: one object a line on stdout and stderr",
        choices=FORMATS,
    )  # fmt: skip


def parse(values: flags.FlagValues, argv: Sequence[str]) -> list[str]:
    """Parse `argv`, program first, into `values`; returns the arguments that are no flags.

    Raises:
      UserError: a flagfile that is not there, takes itself in or is no text, or a number that is
        NaN or infinite.
      absl.flags.Error: an unknown flag or a value that it does not take.
    """
    try:
        unparsed = values([argv[0], *_expanded(argv[1:])])[1:]
    except flags.IllegalFlagValueError as error:
        raise _in_our_words(error) from None
    for name in values:
        number = values[name].value
        if isinstance(number, float) and not math.isfinite(number):
            raise UserError(f"--{name}={number}: give a finite number")
    return unparsed


def _in_our_words(error: flags.IllegalFlagValueError) -> flags.IllegalFlagValueError:
    """Of what is no number Python says how it tried to read it."""
    found = re.match(r"flag (--\S+?=.*): (invalid literal for int|could not convert)", str(error))
    if not found:
        return error
    kind = "whole number" if "int" in found[2] else "number"
    return flags.IllegalFlagValueError(f"{found[1]}: give a {kind}")


def _expanded(arguments: Sequence[str], within: tuple[Path, ...] = ()) -> Iterator[str]:
    """`arguments` with the lines of each --flagfile in its place; `within`: the files around."""
    rest = iter(arguments)
    for argument in rest:
        name, _, path = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            yield argument
            if argument == "--":
                yield from rest
            continue
        file = _find(path or next(rest, ""), within)
        try:
            lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
        except (OSError, ValueError) as error:
            raise UserError(f"--flagfile={file}: cannot be read ({error})") from None
        kept = [line for line in lines if line and not line.startswith(("#", "//"))]
        yield from _expanded(kept, (*within, file))


def _find(path: str, within: tuple[Path, ...]) -> Path:
    """From the current folder, that of the file around and the one above it, or as shipped."""
    near = [within[-1].parent, within[-1].parent.parent] if within else []
    for folder in (Path(), *near, *SHIPPED):
        found = (folder / Path(path).expanduser()).resolve()
        if found.is_file():
            if found in within:
                raise UserError(f"--flagfile={path} takes itself in")
            return found
    raise UserError(f"--flagfile={path}: no such file")

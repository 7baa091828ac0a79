"""How every command starts and ends: flags, help, and errors of one line."""

from __future__ import annotations

import inspect
import pathlib
import re
import shlex
import sys
import textwrap
from collections.abc import Callable, Container, Sequence
from typing import NoReturn

from absl import flags, logging

from sideways_tf import __version__
from sideways_tf.errors import UserError
from sideways_tf.runs import options
from sideways_tf.screen import SCREEN

USAGE_ERROR = 2
INTERRUPTED = 130


def run(main: Callable[..., int | None], argv: Sequence[str] | None = None) -> NoReturn:
    """Parse the flags, run `main`, and exit: 0, its status, or 2 behind `error: ...` on stderr.

    The flags are the `FLAGS` of the module that `main` is from. If `main` has a parameter, it takes
    the list of the arguments that are no flags; else there may be none.
    """
    argv = list(sys.argv if argv is None else argv)
    values: flags.FlagValues = main.__globals__["FLAGS"]
    words = bool(inspect.signature(main).parameters)
    logging.set_verbosity(logging.ERROR)
    if {"--help", "-h", "--helpfull", "--helpshort"} & set(argv[1:]):
        print(_help(main.__globals__["__doc__"], values))
        sys.exit(0)
    if "--version" in argv[1:]:
        print(f"sideways_tf {__version__}")
        sys.exit(0)
    SCREEN.settle(False, "json" if "--log_format=json" in argv[1:] else "text")
    try:
        values.set_gnu_getopt(words)
        unparsed = options.parse(values, argv)
        if "log_format" in values:
            SCREEN.settle(values["quiet"].value, values["log_format"].value)
        if unparsed and not words:
            raise UserError(f"'{unparsed[0]}' is no flag: flags are given as --name=value")
        sys.exit(main(unparsed) if words else main())
    except (UserError, flags.Error) as error:
        said, *below = str(error).splitlines() if isinstance(error, UserError) else [str(error)]
        said = " ".join(said.split()).removeprefix("ERROR:: ")
        SCREEN.error(as_flags("\n".join([said, *below]), values))
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def as_flags(text: str, names: Container[str]) -> str:
    """`text` with each argument `size=64` written as `--size=64` where its name is a flag's."""

    def written(found: re.Match[str]) -> str:
        return f"--{found[0]}" if found[0] in names else found[0]

    # Not within a path or a list such as runs/size=64,seed=1.
    return re.sub(r"(?<![^\s(])\w+(?==)", written, text)


def python() -> str:
    """This interpreter, as one would type it here: .venv/bin/python, say."""
    path, here = pathlib.Path(sys.executable), pathlib.Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def typed() -> str:
    """The command line of this process, to be typed again."""
    program = pathlib.Path(sys.argv[0])
    start = ["python", str(program)] if program.suffix == ".py" else [program.name]
    return shlex.join([*start, *sys.argv[1:]])


def _help(doc: str, values: flags.FlagValues) -> str:
    """The command's docstring and its flags with their defaults, by group."""
    groups: dict[str, list[str]] = {}
    for flag in (values[name] for name in values):
        ((choices, group, text),) = _HELP.findall(flag.help or "")
        groups.setdefault(group or "other", []).append(_describe(flag, choices, text))
    parts = [doc.strip()]
    parts += ["\n".join([f"{group}:", *sorted(lines)]) for group, lines in groups.items()]
    parts.append("--flagfile=FILE takes flags from a file, one a line; --version says it")
    return "\n\n".join(parts)


# A flag's help is "group: text"; absl puts "<choice|choice>: " before it.
_HELP = re.compile(r"\A(?:<(.*?)>: )?(?:(\w+): )?(.*)\Z", re.DOTALL)


def _describe(flag: flags.Flag, choices: str, text: str) -> str:
    default = ",".join(map(str, flag.default)) if isinstance(flag.default, list) else flag.default
    ending = "" if default in (None, "") else f" (default {default})"
    body = textwrap.fill(f"{choices}{': ' if choices else ''}{text}{ending}", 92)
    return f"  --{flag.name}\n{textwrap.indent(body, ' ' * 6)}"

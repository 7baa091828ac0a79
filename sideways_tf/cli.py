"""How every entry point starts and ends: flags, help, and errors of one line."""

from __future__ import annotations

import pathlib
import re
import sys
import textwrap
from collections.abc import Callable, Sequence

from absl import flags, logging

from sideways_tf.errors import UserError

USAGE_ERROR = 2
INTERRUPTED = 130


def run(
    main: Callable[..., int | None], argv: Sequence[str] | None = None, words: bool = False
) -> None:
    """Parse the flags, run `main`, and exit: 0, its status, or 2 behind one line on stderr.

    With `words`, arguments that are no flags may stand anywhere, and `main` takes a list of them.
    """
    argv = list(sys.argv if argv is None else argv)
    logging.set_verbosity(logging.ERROR)
    if {"--help", "-h", "--helpfull", "--helpshort"} & set(argv[1:]):
        print(_help())
        sys.exit(0)
    try:
        flags.FLAGS.set_gnu_getopt(words)
        unparsed = flags.FLAGS(argv)[1:]
        if unparsed and not words:
            raise UserError(f"'{unparsed[0]}' is no flag: flags are given as --name=value")
        sys.exit(main(unparsed) if words else main())
    except (UserError, flags.Error) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def python() -> str:
    """This interpreter, as one would type it here: .venv/bin/python, say."""
    path, here = pathlib.Path(sys.executable), pathlib.Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _help() -> str:
    """The entry point's own docstring and its flags with their defaults, by group."""
    groups: dict[str, list[str]] = {}
    for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0]):
        ((choices, group, text),) = _HELP.findall(flag.help or "")
        groups.setdefault(group or "other", []).append(_describe(flag, choices, text))
    parts = [(sys.modules["__main__"].__doc__ or "").strip()]
    parts += ["\n".join([f"{group}:", *sorted(lines)]) for group, lines in groups.items()]
    parts.append("--flagfile=FILE takes flags from a file, one a line")
    return "\n\n".join(parts)


# A flag's help is "group: text"; absl puts "<choice|choice>: " before it.
_HELP = re.compile(r"\A(?:<(.*?)>: )?(?:(\w+): )?(.*)\Z", re.DOTALL)


def _describe(flag: flags.Flag, choices: str, text: str) -> str:
    default = ",".join(map(str, flag.default)) if isinstance(flag.default, list) else flag.default
    ending = "" if default in (None, "") else f" (default {default})"
    body = textwrap.fill(f"{choices}{': ' if choices else ''}{text}{ending}", 92)
    return f"  --{flag.name}\n{textwrap.indent(body, ' ' * 6)}"

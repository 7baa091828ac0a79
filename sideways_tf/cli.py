"""How every entry point starts and ends: flags, help, and errors of one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from absl import flags, logging

from sideways_tf.errors import UserError

USAGE_ERROR = 2
INTERRUPTED = 130


def run(main: Callable[[], int | None], argv: Sequence[str] | None = None) -> None:
    """Parse the flags, run `main`, and exit: 0, its status, or 2 behind one line on stderr."""
    argv = list(sys.argv if argv is None else argv)
    logging.set_verbosity(logging.ERROR)
    if {"--help", "-h", "--helpfull", "--helpshort"} & set(argv[1:]):
        print(_help())
        sys.exit(0)
    try:
        unparsed = flags.FLAGS(argv)[1:]
        if unparsed:
            raise UserError(f"'{unparsed[0]}' is no flag: flags are given as --name=value")
        sys.exit(main())
    except (UserError, flags.Error) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _help() -> str:
    """The entry point's own docstring and its flags, by group, with defaults."""
    main_module = sys.modules["__main__"]
    groups: dict[str, list[str]] = {}
    for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0]):
        group, _, text = (flag.help or "").rpartition(": ") if flag.help else ("", "", "")
        groups.setdefault(group, []).append(_describe(flag, text))
    text = [(main_module.__doc__ or "").strip()]
    for group, lines in groups.items():
        text.append("\n".join([f"{group or 'flags'}:", *sorted(lines)]))
    return "\n\n".join(text)


def _describe(flag: flags.Flag, text: str) -> str:
    default = "" if flag.default in (None, "") else f" (default {flag.default_as_str})"
    return f"  --{flag.name}: {text}{default}"

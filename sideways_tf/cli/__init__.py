"""The command line: `sideways COMMAND`, one module a command.

A command is a module with `FLAGS` of its own and a `main()`, or a `main(words)` where arguments
that are no flags may stand anywhere; its docstring is its help.
"""

from __future__ import annotations

import importlib
import sys

from sideways_tf import __version__
from sideways_tf.cli.command import USAGE_ERROR, python, run, typed

__all__ = ["main", "python", "run", "typed"]

COMMANDS = {
    "train": "sideways_tf.train",
    "evaluate": "sideways_tf.evaluate",
    "predict": "sideways_tf.cli.predict",
    "prepare": "sideways_tf.cli.prepare",
    "inspect": "sideways_tf.cli.inspect",
    "sweep": "sideways_tf.cli.sweep",
    "tables": "sideways_tf.cli.tables",
    "plot dynamics": "sideways_tf.cli.plot_dynamics",
    "plot stride": "sideways_tf.cli.plot_stride",
    "plot errors": "sideways_tf.cli.plot_errors",
    "plot delay": "sideways_tf.cli.plot_delay",
    "plot reconstructions": "sideways_tf.cli.plot_reconstructions",
    "bench speed": "sideways_tf.bench.speed",
    "bench fit": "sideways_tf.bench.fit",
    "bench input": "sideways_tf.bench.input",
    "bench stream": "sideways_tf.bench.stream",
    "bench live": "sideways_tf.bench.live",
    "bench soak": "sideways_tf.bench.soak",
    "bench peers": "sideways_tf.bench.peers",
    "bench plan": "sideways_tf.bench.ahead",
    "bench wide": "sideways_tf.bench.wide",
    "stream": "sideways_tf.cli.stream",
    "worker": "sideways_tf.worker",
}


def main(name: str = "") -> None:
    """Run the command called `name`; without a name, the one that the first words say."""
    arguments = sys.argv[1:]
    names = [name] if name else [" ".join(arguments[:n]) for n in (1, 2)]
    for found in filter(COMMANDS.get, names):
        rest = arguments if name else arguments[len(found.split()) :]
        run(importlib.import_module(COMMANDS[found]).main, [found, *rest])
    if arguments[:1] == ["--version"]:
        print(f"sideways_tf {__version__}")
    elif not arguments or arguments[0] in ("--help", "-h"):
        print(overview())
    else:
        print(f"error: '{arguments[0]}' is no command: {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(USAGE_ERROR)
    sys.exit(0)


def overview() -> str:
    """Every command with the first line of its help."""
    lines = ["sideways COMMAND [--flag=value ...], each with its own --help", ""]
    for name, module in COMMANDS.items():
        doc = importlib.import_module(module).__doc__ or ""
        lines.append(f"  {name:<21} {doc.splitlines()[0]}")
    return "\n".join(lines)

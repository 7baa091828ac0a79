"""The paper's tables from finished runs, beside the paper's numbers.

    python tools/make_tables.py --table=1 --results_dir=runs
    python tools/make_tables.py --table=3 --results_dir=docs/results/autoencoding --csv=table3.csv

Reads every results.json below --results_dir, those of other tasks are left alone. Prints Markdown;
what is unfinished, damaged or of a stray configuration is named on stderr, a line each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sideways_tf import cli
from sideways_tf.report.results import read_results
from sideways_tf.report.table import Table
from sideways_tf.report.table1 import table1
from sideways_tf.report.table3 import table3

TABLES: dict[str, Callable[[Sequence[dict[str, Any]]], Table]] = {"1": table1, "3": table3}

_TABLE = flags.DEFINE_enum("table", "3", sorted(TABLES), "number of the paper's table")
_RESULTS = flags.DEFINE_string("results_dir", "runs", "folder of runs, or one above it")
_CSV = flags.DEFINE_string("csv", "", "write the table here, too")


def main() -> None:
    """Print the table of the flags."""
    table = TABLES[_TABLE.value](read_results(Path(_RESULTS.value)))
    print(table.markdown())
    for line in table.left_out:
        print(line, file=sys.stderr)
    if _CSV.value:
        Path(_CSV.value).write_text(table.csv(), encoding="utf-8")


if __name__ == "__main__":
    cli.run(main)

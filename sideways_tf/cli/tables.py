"""The paper's tables from finished runs, beside the paper's numbers.

    sideways tables --table=1 --results_dir=runs
    sideways tables --table=3 --results_dir=docs/results/autoencoding --csv=table3.csv

Reads every run below --results_dir, those of other tasks are left alone. Prints Markdown; what is
unfinished, damaged or of a stray configuration is named on stderr, a line for each reason.
"""

from __future__ import annotations

from pathlib import Path

from sideways_tf.report.remarks import say
from sideways_tf.report.table1 import table1
from sideways_tf.report.table3 import table3
from sideways_tf.runs import options
from sideways_tf.runs.read import find_runs

TABLES = {"1": table1, "3": table3}

FLAGS, define = options.new_flags()
define("table", "3", "number of the paper's table", choices=sorted(TABLES))
define("results_dir", "runs", "folder of runs, or one above it")
define("csv", "", "write the table here, too")


def main() -> None:
    """Print the table of the flags."""
    runs, remarks = find_runs([FLAGS.results_dir])
    table = TABLES[FLAGS.table]([run for run in runs if run.results])
    print(table.markdown())
    remarks += [f"{run.path}: not finished, left out" for run in runs if not run.results]
    say([*remarks, *table.left_out])
    if FLAGS.csv:
        Path(FLAGS.csv).write_text(table.csv(), encoding="utf-8")

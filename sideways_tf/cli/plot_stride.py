"""Figure 6 of the paper, sensitivity to the frame rate, from finished or living runs.

    sideways sweep --flagfile=configs/ucf_simplecnn.cfg --data_dir=DIR --output_dir=stride \\
        --grid=stride=2,3,4,5,6 --grid=learning_rate=1e-5,1e-4 --grid=algorithm=bp,sideways \\
        --compare=stride,learning_rate,algorithm --seeds=1
    sideways plot stride stride/final

Rows: learning rates, the favourable (lower) one first; columns: Sideways, BP; a colour is a stride.
Lines are the accuracy on training clips, dashed ones that on test videos; the mean over seeds, the
shade their range. Writes figure6.png and .svg, and prints the final test accuracies.
"""

from __future__ import annotations

from pathlib import Path

from sideways_tf.errors import UserError
from sideways_tf.report.remarks import say
from sideways_tf.runs import options

FLAGS, define = options.new_flags()
define("output_dir", "figures", "output: folder of the pictures")
define("points", 100, "output: average neighbours to so many points", low=2)


def main(places: list[str]) -> None:
    """Read, draw, print; remarks go to stderr, a line for each reason."""
    from sideways_tf.report import strides
    from sideways_tf.report.lines import save
    from sideways_tf.runs.read import find_runs

    runs, remarks = find_runs(places)
    drawn, more = strides.select(runs)
    say([*remarks, *more])
    if not drawn:
        raise UserError("no run of a classifier among them: there is nothing to draw")
    for path in save(strides.figure(drawn, FLAGS.points), Path(FLAGS.output_dir) / "figure6"):
        print(path)
    print(strides.table(drawn).markdown())

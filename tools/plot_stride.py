"""Figure 6 of the paper, sensitivity to the frame rate, from finished or living runs.

    python tools/sweep.py --flagfile=configs/ucf_simplecnn.cfg --data_dir=DIR --output_dir=stride \\
        --grid=stride=2,3,4,5,6 --grid=learning_rate=1e-5,1e-4 --grid=algorithm=bp,sideways \\
        --compare=stride,learning_rate,algorithm --seeds=1
    python tools/plot_stride.py stride/final

Rows: learning rates, the favourable (lower) one first; columns: Sideways, BP; a colour is a stride.
Lines are the accuracy on training clips, dashed ones that on test videos; the mean over seeds, the
shade their range. Writes figure6.png and .svg, and prints the final test accuracies.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sideways_tf import cli
from sideways_tf.errors import UserError

FLAGS = flags.FLAGS
own = set(FLAGS)
flags.DEFINE_string("output_dir", "figures", "output: folder of the pictures")
flags.DEFINE_integer("points", 100, "output: average neighbours to so many points", lower_bound=2)
for flag_name in set(FLAGS) - own:
    flags.declare_key_flag(flag_name)


def main(places: list[str]) -> None:
    """Read, draw, print; remarks go to stderr, one a line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from sideways_tf.report import strides
    from sideways_tf.report.lines import save
    from sideways_tf.report.runs import find_runs

    runs, remarks = find_runs(places)
    drawn, more = strides.select(runs)
    for remark in [*remarks, *more]:
        print(remark, file=sys.stderr)
    if not drawn:
        raise UserError("no run of a classifier among them: there is nothing to draw")
    for path in save(strides.figure(drawn, FLAGS.points), Path(FLAGS.output_dir) / "figure6"):
        print(path)
    print(strides.table(drawn).markdown())


if __name__ == "__main__":
    cli.run(main, words=True)

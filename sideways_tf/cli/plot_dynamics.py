"""Figures 4 and 5 of the paper from finished or living runs.

    sideways plot dynamics runs/*                    figure4, figure5 as .png and .svg
    sideways plot dynamics sweep/search --tensorboard=compare && tensorboard --logdir compare

Columns: model and algorithm. Rows of figure 4: loss, mean of gradients, L2 norm of gradients, the
latter two averaged over the modules; of figure 5: accuracy on training clips and on test videos.
The panels of a row share the y-axis.
A colour is a learning rate and weight decay, the line the mean over seeds, the shade their range.
Where runs were diagnosed (--diagnose_every), agreement.png and .svg show, module by module, cosine
and norm ratio between pseudo-gradient and true gradient.

--tensorboard=DIR writes the curves once more, tagged by algorithm, with a custom-scalars layout
that puts BP and Sideways side by side.
"""

from __future__ import annotations

from pathlib import Path

from sideways_tf.errors import UserError
from sideways_tf.report.remarks import say
from sideways_tf.runs import options

FLAGS, define = options.new_flags()
define("output_dir", "figures", "output: folder of the pictures")
define("free_axes", False, "output: a y-axis for each panel; else the panels of a row share one")
define("tensorboard", "", "output: a new folder for TensorBoard, BP beside Sideways")
define("points", 100, "output: average neighbours to so many points", low=2)


def main(places: list[str]) -> None:
    """Read, draw, write; remarks go to stderr, a line for each reason."""
    from sideways_tf.report import dynamics
    from sideways_tf.report.layout import write_comparison
    from sideways_tf.report.lines import save
    from sideways_tf.runs.read import find_runs

    runs, remarks = find_runs(places)
    found, more = dynamics.columns(runs)
    say([*remarks, *more])
    if not found:
        raise UserError("no run of a classifier among them: there is nothing to draw")
    for name, figure in dynamics.figures(found, FLAGS.points, FLAGS.free_axes).items():
        for path in save(figure, Path(FLAGS.output_dir) / name):
            print(path)
    if FLAGS.tensorboard:
        print(write_comparison(found, Path(FLAGS.tensorboard)))

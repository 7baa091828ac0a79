"""Figures 7 and 8: what the streams of a BP run and of a Sideways run show, below the truth.

    sideways plot reconstructions --bp=runs/A --sideways=runs/B --output=figure.png
    sideways plot reconstructions --bp=runs/A --sideways=runs/B --animation=figure.gif

Takes whole test videos, centre crop. The picture has three rows a video, truth, BP, Sideways, of 10
consecutive frames from the middle; the animation shows the three side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sideways_tf.errors import UserError
from sideways_tf.runs import options

if TYPE_CHECKING:

    from sideways_tf.report.reconstruction import Network
    from sideways_tf.runs.config import Config

FLAGS, define = options.new_flags()
define("bp", "", "folder of the run trained with --algorithm=bp")
define("sideways", "", "folder of the --algorithm=sideways run")
define("output", "", "the picture, .png")
define("animation", "", "the animation, .gif, .mp4 or .avi")
define("videos", 3, "test videos to show, from the first on", low=1)
define("frames", 10, "frames of a row", low=1)
define("scale", 3, "of the animation: pixels for each pixel", low=1)
define("data_dir", None, "where the videos are now")
define("cache_dir", None, "where prepared data sets are kept now")
# What both runs must have in common.
_SAME = ("dataset", "split", "size", "resize", "stride")
_ALGORITHMS = ("bp", "sideways")


def main() -> None:
    """Restore both runs, run them over some test videos, draw."""

    if not FLAGS.output and not FLAGS.animation:
        raise UserError("--output and --animation are missing: name a .png, a .gif, or both")
    configs = {name: _config(name) for name in _ALGORITHMS}


def _network(algorithm: str, config: Config) -> Network:
    """The network of a run, at its newest checkpoint."""
    from sideways_tf.report.reconstruction import Network
    from sideways_tf.runs.folder import RunFolder
    from sideways_tf.runs.make import open_trained

    model, _, _ = open_trained(config, RunFolder(FLAGS[algorithm].value))
    return Network(model.run_frames, model.depth)

"""Figures 7 and 8: what the streams of a BP run and of a Sideways run show, below the truth.

    sideways plot reconstructions --bp=runs/A --sideways=runs/B --output=figure.png
    sideways plot reconstructions --bp=runs/A --sideways=runs/B --animation=figure.gif

Takes whole test videos, centre crop. The picture has three rows a video, truth, BP, Sideways, of 10
consecutive frames from the middle; the animation shows the three side by side.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from sideways_tf.errors import UserError
from sideways_tf.runs import options
from sideways_tf.runs.checks import check_there

if TYPE_CHECKING:
    import numpy as np

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
    for name in _SAME:
        values = sorted({str(getattr(config, name)) for config in configs.values()})
        if len(values) > 1:
            raise UserError(
                f"the two runs differ in --{name} ({', '.join(values)}): name two runs on the same "
                "frames"
            )
    from sideways_tf.report import reconstruction_pictures as pictures
    from sideways_tf.runs import make

    make.start_tensorflow(configs["bp"])
    dataset = make.load_dataset(configs["bp"])
    networks = {name: _network(name, config) for name, config in configs.items()}
    rows: list[list[np.ndarray]] = []
    moving: list[np.ndarray] = []
    videos = dataset.test_videos(make.clip_of(configs["bp"]))
    for frames, _, name in videos.take(FLAGS.videos):
        streams = {}
        for algorithm, network in networks.items():
            shown = pictures.shown(network, algorithm, frames, name.numpy().decode())
            streams["truth"], streams[algorithm] = shown
        rows += [list(pictures.middle(stream, FLAGS.frames)) for stream in streams.values()]
        moving += [
            pictures.labelled(dict(zip(streams, triple, strict=True)), FLAGS.scale)
            for triple in zip(*streams.values(), strict=True)
        ]
    if FLAGS.output:
        pictures.write_picture(Path(FLAGS.output), pictures.tile(rows))
    if FLAGS.animation:
        pictures.write_animation(Path(FLAGS.animation), moving)


def _config(algorithm: str) -> Config:
    """The configuration of a run, of this algorithm and of an auto-encoder."""
    from sideways_tf.runs.folder import RunFolder

    path = FLAGS[algorithm].value
    check_there("data_dir", FLAGS.data_dir)
    if not path:
        raise UserError(f"--{algorithm} is missing: name the folder of a run, runs/NAME")
    config = RunFolder(path).config()
    if not config.autoencodes:
        raise UserError(
            f"--{algorithm}={path} is a classifier (--model={config.model}): name a run of "
            "--model=autoencoder"
        )
    if config.algorithm != algorithm:
        raise UserError(f"--{algorithm}={path} was trained with --algorithm={config.algorithm}")
    moved = {"data_dir": FLAGS.data_dir, "cache_dir": FLAGS.cache_dir}
    given = {name: value for name, value in moved.items() if value is not None}
    return dataclasses.replace(config, **given)


def _network(algorithm: str, config: Config) -> Network:
    """The network of a run, at its newest checkpoint."""
    from sideways_tf.report.reconstruction import Network
    from sideways_tf.runs.folder import RunFolder
    from sideways_tf.runs.make import open_trained

    model, _, _ = open_trained(config, RunFolder(FLAGS[algorithm].value))
    return Network(model.run_frames, model.depth)

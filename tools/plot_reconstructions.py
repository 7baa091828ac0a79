"""Figures 7 and 8: what the streams of a BP run and of a Sideways run show, below the truth.

    python tools/plot_reconstructions.py --bp=runs/A --sideways=runs/B --output=figure.png
    python tools/plot_reconstructions.py --bp=runs/A --sideways=runs/B --animation=figure.gif

Takes whole test videos, centre crop. The picture has three rows a video, truth, BP, Sideways, of 10
consecutive frames from the middle; the animation shows the three side by side.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sideways_tf import cli
from sideways_tf.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from sideways_tf.config import Config
    from sideways_tf.data import VideoDataset
    from sideways_tf.report.reconstruction import Network

_RUNS = {
    "bp": flags.DEFINE_string("bp", "", "folder of the run trained with --algorithm=bp"),
    "sideways": flags.DEFINE_string("sideways", "", "folder of the --algorithm=sideways run"),
}
_OUTPUT = flags.DEFINE_string("output", "", "the picture, .png")
_ANIMATION = flags.DEFINE_string("animation", "", "the animation, .gif, .mp4 or .avi")
_VIDEOS = flags.DEFINE_integer("videos", 3, "test videos to show, from the first on", 1)
_FRAMES = flags.DEFINE_integer("frames", 10, "frames of a row", 1)
_SCALE = flags.DEFINE_integer("scale", 3, "of the animation: pixels for each pixel", 1)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "where the videos are now")
_CACHE_DIR = flags.DEFINE_string("cache_dir", None, "where prepared data sets are kept now")
# What both runs must have in common.
_SAME = ("dataset", "split", "size", "resize", "stride")


def main() -> None:
    """Restore both runs, run them over some test videos, draw."""
    from sideways_tf.report import reconstruction_pictures as pictures
    from sideways_tf.training import run

    if not _OUTPUT.value and not _ANIMATION.value:
        raise UserError("--output and --animation are missing: name a .png, a .gif, or both")
    configs = {name: _config(name) for name in _RUNS}
    _check_same(configs)
    run.start_tensorflow(configs["bp"])
    dataset = run.load_dataset(configs["bp"])
    networks = {name: _network(name, config, dataset) for name, config in configs.items()}
    rows: list[list[np.ndarray]] = []
    moving: list[np.ndarray] = []
    videos = dataset.test_videos(run.clip(configs["bp"]))
    for frames, _, name in videos.take(_VIDEOS.value):
        found = {
            algorithm: pictures.shown(network, algorithm, frames, name.numpy().decode())
            for algorithm, network in networks.items()
        }
        streams = {"truth": found["bp"][0], **{each: both[1] for each, both in found.items()}}
        rows += [list(pictures.middle(stream, _FRAMES.value)) for stream in streams.values()]
        moving += [
            pictures.labelled(dict(zip(streams, triple, strict=True)), _SCALE.value)
            for triple in zip(*streams.values(), strict=True)
        ]
    if _OUTPUT.value:
        pictures.write_picture(Path(_OUTPUT.value), pictures.tile(rows))
    if _ANIMATION.value:
        pictures.write_animation(Path(_ANIMATION.value), moving)


def _config(algorithm: str) -> Config:
    """The configuration of a run, of this algorithm and of an auto-encoder."""
    from sideways_tf.training.run_folder import RunFolder

    path = _RUNS[algorithm].value
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
    moved = {"data_dir": _DATA_DIR.value, "cache_dir": _CACHE_DIR.value}
    given = {name: value for name, value in moved.items() if value is not None}
    return dataclasses.replace(config, **given)


def _check_same(configs: dict[str, Config]) -> None:
    for name in _SAME:
        values = {getattr(config, name) for config in configs.values()}
        if len(values) > 1:
            raise UserError(
                f"the two runs differ in --{name} ({', '.join(sorted(map(str, values)))}): name "
                "two runs on the same frames"
            )


def _network(algorithm: str, config: Config, dataset: VideoDataset) -> Network:
    """The network of a run, at its newest checkpoint."""
    from sideways_tf.report.reconstruction import Network
    from sideways_tf.training.checkpoints import Checkpoints
    from sideways_tf.training.run_folder import RunFolder
    from sideways_tf.training.task import make_update

    update = make_update(config, dataset)
    folder = RunFolder(_RUNS[algorithm].value)
    if not Checkpoints(folder, update).restore():
        raise UserError(f"--{algorithm}={folder.path} has no checkpoint yet: train first")
    return Network(update.engine.modules)


if __name__ == "__main__":
    cli.run(main)

"""Every flag of a run, checked once, frozen."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any

from absl import flags

from sideways_tf.errors import UserError
from sideways_tf.runs import options

DROP_EPOCHS = (100, 200)
# Changing these between a stop and a continuation changes no number of the run.
FREE_TO_CHANGE = {
    "workdir", "data_dir", "cache_dir", "epochs", "max_iterations",
    "evaluate_every", "checkpoint_every", "log_every", "diagnose_every",
}  # fmt: skip


DATASETS = (
    "moving_shapes", "moving_objects", "ucf101", "hmdb51", "cater", "folder", "frames_only",
)  # fmt: skip
UNLABELLED = ("moving_objects", "cater", "frames_only")


def option(
    default: Any,
    group: str,
    text: str,
    choices: Sequence[str] | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A field that is also a flag; `low` and `high` are inclusive."""
    metadata = {"group": group, "help": text, "choices": choices, "low": low, "high": high}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """One run. The fields are the flags; `python -m sideways_tf.train --help` prints them."""

    dataset: str = option(
        "moving_shapes", "data",
        "moving_shapes or moving_objects (drawn, no download), ucf101, hmdb51, cater, folder (of "
        "class folders) or frames_only (any videos); moving_objects, cater and frames_only have no "
        "labels: --model=autoencoder",
        choices=DATASETS,
    )  # fmt: skip
    data_dir: str = option(
        "", "data", "the unpacked official archives, or a folder with the prepared data set"
    )
    cache_dir: str = option(
        "~/.cache/sideways_tf", "data", "where prepared data sets are kept and found again"
    )
    split: int = option(1, "data", "official split, 1 to 3", low=1, high=3)
    holdout: float = option(
        0.0, "data",
        "share of the training videos, whole recordings, to leave out of training and to test on "
        "instead of the test videos, in [0, 0.9]; 0: none",
        low=0.0, high=0.9,
    )  # fmt: skip
    frames: int = option(64, "data", "K, contiguous frames of a clip", low=1)
    stride: int = option(1, "data", "keep every so many-th frame, in frames", low=1)
    padding: str = option(
        "torus", "data", "what follows the end of a short video: its first frame on, or its last",
        choices=("torus", "repeat_last"),
    )  # fmt: skip
    size: int = option(112, "data", "height and width of a crop, in pixels", low=8)
    resize: int = option(
        0,
        "data",
        "shorter side before cropping, in pixels; 0: size * 128 / 112, cater's own",
        low=0,
    )
    allow_missing_videos: bool = option(
        False, "data", "go on without the videos that a split lists and the folder lacks"
    )
    strict_data: bool = option(False, "data", "fail at the first unreadable video")

    model: str = option(
        "simple_cnn", "model",
        "the network; autoencoder: another task, to give back each frame of a stream, with an "
        "update at every computation step",
        choices=("simple_cnn", "vgg8", "autoencoder"),
    )  # fmt: skip
    target: str = option(
        "paper", "model",
        "of autoencoder: the frame at hand when the output appears (current), or the one it stems "
        "from (source); paper: current for sideways (section 3.4), source for bp (eq. 1)",
        choices=("paper", "current", "source"),
    )  # fmt: skip
    dropout: float = option(
        0.0, "model", "rate in the hidden linear modules of vgg8, in [0, 0.99]", low=0.0, high=0.99
    )
    algorithm: str = option("sideways", "model", "training algorithm", choices=("sideways", "bp"))
    engine: str = option(
        "auto", "model",
        "pipelined: a loop of computation steps, modules on their devices (bp: frame by frame); "
        "time_shifted: all frames at once, one device (bp: batched); gpipe: bp in a pipe that is "
        "drained, exact; auto: by number of devices",
        choices=("auto", "pipelined", "time_shifted", "gpipe"),
    )  # fmt: skip
    devices: str = option(
        "auto", "model",
        "TensorFlow devices for the modules, in order, comma-separated (GPU:0,GPU:1); "
        "gpu: all GPUs; auto: all GPUs, else all CPUs",
    )  # fmt: skip
    placement: str = option(
        "one_per_module", "model",
        "one_per_module (neighbours share where devices are fewer), balanced (by measured times), "
        "or a device for each module, comma-separated: its number in --devices, from 0, or name",
    )  # fmt: skip
    modules: int = option(
        0, "model",
        "N: cut the network into so many modules, even in operations; this changes D, hence what "
        "Sideways computes; 0: the model's own",
        low=0,
    )  # fmt: skip
    logical_cpus: int = option(
        1, "model", "split the CPU into so many devices, to try placements without GPUs", low=1
    )
    workers: str = option(
        "", "model", "remote TensorFlow servers host:port, comma-separated, that lend their devices"
    )

    batch_size: int = option(8, "training", "B, clips in a batch", low=1)
    epochs: int = option(300, "training", "passes over the training videos", low=1)
    max_iterations: int = option(0, "training", "stop after so many updates; 0: no limit", low=0)
    optimizer: str = option("adam", "training", "update rule", choices=("adam", "sgd", "momentum"))
    learning_rate: float = option(1e-4, "training", "initial learning rate", low=0.0)
    momentum: float = option(
        0.9, "training", "of --optimizer=momentum, in [0, 1]", low=0.0, high=1.0
    )
    weight_decay: float = option(
        0.0, "training", "decoupled weight decay, times the schedule", low=0.0
    )
    clip_value: float = option(
        1.0, "training", "clip averaged gradients to +- this value; 0: do not", low=0.0
    )
    warmup_epochs: float = option(
        5.0, "training", "learning rate rises linearly from 0 for so many epochs", low=0.0
    )
    drop_epochs: tuple[int, ...] = option(
        DROP_EPOCHS, "training", "epochs at which the learning rate is divided by 10"
    )
    seed: int = option(0, "training", "of weights, order, crops, flips and dropout", low=0)

    workdir: str = option("", "run", "folder of this run; empty: a new one under runs/")
    evaluate_every: int = option(
        10, "run", "test every so many epochs, and at the end; 0: only at the end", low=0
    )
    checkpoint_every: int = option(
        0, "run", "save every so many iterations; 0: at the end of each epoch", low=0
    )
    log_every: int = option(10, "run", "write TensorBoard curves every so many iterations", low=1)
    diagnose_every: int = option(
        0, "run",
        "every so many iterations write, by module, the cosine and the norm ratio between "
        "pseudo-gradient and true gradient; such an iteration takes about three times as long; "
        "0: never",
        low=0,
    )  # fmt: skip

    @property
    def shorter_side(self) -> int | None:
        """Pixels of a stored frame's shorter side: 128 for crops of 112, in proportion.

        None: as it is. CATER is cropped from full frames.
        """
        if self.dataset == "cater" and not self.resize:
            return None
        return self.resize or round(self.size * 128 / 112)

    @property
    def autoencodes(self) -> bool:
        """Whether the task is auto-encoding; else classification."""
        return self.model == "autoencoder"

    def check(self, depth: int) -> None:
        """Refuse what no flag can see alone; `depth` is D.

        Raises:
          UserError: naming the flags, their values and the remedy.
        """
        from sideways_tf.engines import schedule  # Imports TensorFlow: not before it is needed.

        if self.shorter_side and self.size > self.shorter_side:
            raise UserError(
                f"--size={self.size} is larger than the frames, whose shorter side is "
                f"--resize={self.shorter_side} pixels: crop less or resize to more"
            )
        self._check_task()
        if self.algorithm == "sideways" or self.autoencodes:
            schedule.check_episode(depth, self.frames)
        if list(self.drop_epochs) != sorted(set(self.drop_epochs)):
            raise UserError(f"--drop_epochs={self.drop_epochs} must rise from one to the next")

    def _check_task(self) -> None:
        if self.autoencodes and self.diagnose_every:
            raise UserError(
                f"--diagnose_every={self.diagnose_every} compares gradients of whole clips, "
                "--model=autoencoder updates at every step: leave --diagnose_every out"
            )
        if self.dataset in UNLABELLED and not self.autoencodes:
            raise UserError(
                f"--dataset={self.dataset} has no labels, --model={self.model} classifies: use "
                "--model=autoencoder, or a data set with labels"
            )
        if self.autoencodes and self.engine not in ("auto", "pipelined"):
            raise UserError(
                f"--engine={self.engine} computes many frames at once, --model=autoencoder learns "
                "from each by itself: leave --engine out"
            )

    def flag_lines(self) -> list[str]:
        """`--name=value` for every field but workdir: a flagfile that runs this again."""
        return [
            f"--{name}={_write(value)}"
            for name, value in dataclasses.asdict(self).items()
            if name != "workdir"
        ]

    def differences(self, other: Config) -> list[str]:
        """Names of the fields that make `other` another run."""
        mine, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        return [name for name in mine if mine[name] != theirs[name] and name not in FREE_TO_CHANGE]


def _write(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def define_flags(values: flags.FlagValues) -> None:
    """Define one absl flag for each field of `Config`."""
    types = typing.get_type_hints(Config)
    for field in dataclasses.fields(Config):
        m, kind = field.metadata, types[field.name]
        text = f"{m['group']}: {m['help']}"
        bounds = {"choices": m["choices"], "low": m["low"], "high": m["high"]}
        options.define(values, field.name, field.default, text, kind=kind, **bounds)


def from_flags(values: flags.FlagValues) -> Config:
    """The configuration that the parsed flags say."""
    chosen = {field.name: values[field.name].value for field in dataclasses.fields(Config)}
    try:
        chosen["drop_epochs"] = tuple(int(epoch) for epoch in chosen["drop_epochs"] if epoch)
    except ValueError:
        raise UserError(
            f"--drop_epochs={','.join(chosen['drop_epochs'])}: epochs are whole numbers, "
            "comma-separated"
        ) from None
    return Config(**chosen)


def from_flagfile(path: str) -> Config:
    """The configuration that the flagfile at `path` says, the rest at its defaults."""
    values = flags.FlagValues()
    define_flags(values)
    options.parse(values, ["", f"--flagfile={path}"])
    return from_flags(values)

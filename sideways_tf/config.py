"""Every flag of a run, checked once, frozen."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any

from absl import flags

from sideways_tf.errors import UserError

# Changing these between a stop and a continuation changes no number of the run.
FREE_TO_CHANGE = {
    "workdir", "data_dir", "cache_dir", "epochs", "max_iterations",
    "evaluate_every", "checkpoint_every", "log_every",
}  # fmt: skip


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
        "moving_shapes", "data", "moving_shapes (needs no download), ucf101 or hmdb51",
        choices=("moving_shapes", "ucf101", "hmdb51"),
    )  # fmt: skip
    data_dir: str = option(
        "", "data", "the unpacked official archives, or a folder with the prepared data set"
    )
    cache_dir: str = option(
        "~/.cache/sideways_tf", "data", "where prepared data sets are kept and found again"
    )
    split: int = option(1, "data", "official split, 1 to 3", low=1, high=3)
    frames: int = option(64, "data", "K, contiguous frames of a clip", low=1)
    stride: int = option(1, "data", "keep every so many-th frame, in frames", low=1)
    padding: str = option(
        "torus", "data", "what follows the end of a short video: its first frame on, or its last",
        choices=("torus", "repeat_last"),
    )  # fmt: skip
    size: int = option(112, "data", "height and width of a crop, in pixels", low=8)
    resize: int = option(
        0, "data", "shorter side before cropping, in pixels; 0: size * 128 / 112", low=0
    )
    allow_missing_videos: bool = option(
        False, "data", "go on without the videos that a split lists and the folder lacks"
    )
    strict_data: bool = option(False, "data", "fail at the first unreadable video")

    model: str = option("simple_cnn", "model", "the network", choices=("simple_cnn", "vgg8"))
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
        (100, 200), "training", "epochs at which the learning rate is divided by 10"
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

    @property
    def shorter_side(self) -> int:
        """Pixels of a stored frame's shorter side: 128 for crops of 112, in proportion."""
        return self.resize or round(self.size * 128 / 112)

    def check(self, depth: int) -> None:
        """Refuse what no flag can see alone; `depth` is D.

        Raises:
          UserError: naming the flags, their values and the remedy.
        """
        from sideways_tf.engines import schedule  # Imports TensorFlow: not before it is needed.

        if self.size > self.shorter_side:
            raise UserError(
                f"--size={self.size} is larger than the frames, whose shorter side is "
                f"--resize={self.shorter_side} pixels: crop less or resize to more"
            )
        if self.algorithm == "sideways":
            schedule.check_episode(depth, self.frames)
        if list(self.drop_epochs) != sorted(set(self.drop_epochs)):
            raise UserError(f"--drop_epochs={self.drop_epochs} must rise from one to the next")

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


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define one absl flag for each field of `Config`."""
    types = typing.get_type_hints(Config)
    for field in dataclasses.fields(Config):
        kind, m = types[field.name], field.metadata
        common = (field.name, field.default)
        text = f"{m['group']}: {m['help']}"
        if m["choices"]:
            flags.DEFINE_enum(*common, m["choices"], text, values)
        elif kind is bool:
            flags.DEFINE_bool(*common, text, values)
        elif kind is int:
            flags.DEFINE_integer(*common, text, m["low"], m["high"], values)
        elif kind is float:
            flags.DEFINE_float(*common, text, m["low"], m["high"], values)
        elif kind is str:
            flags.DEFINE_string(*common, text, values)
        else:
            flags.DEFINE_list(field.name, [str(v) for v in field.default], text, values)


def from_flags(values: flags.FlagValues = flags.FLAGS) -> Config:
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
    values(["", f"--flagfile={path}"])
    return from_flags(values)

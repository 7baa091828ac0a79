"""Every flag of a run, frozen, and what it affects."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sideways_tf.limits import check_episode, check_size

DATASETS = (
    "moving_shapes", "moving_directions", "moving_objects", "ucf101", "hmdb51", "cater", "folder",
    "frames_only",
)  # fmt: skip
UNLABELLED = ("moving_objects", "cater", "frames_only")
ENGINES = {
    "sideways": ("pipelined", "time_shifted"),
    "bp": ("frame_by_frame", "batched", "gpipe"),
}
# What engines of BP were called in version 0.1.
OLD_ENGINES = {"pipelined": "frame_by_frame", "time_shifted": "batched"}


def option(
    default: Any,
    text: str,
    choices: Sequence[str] | None = None,
    low: float | None = None,
    high: float | None = None,
    affects: str = "result",
    only: tuple[str, ...] | None = None,
) -> Any:
    """A field that is also a flag.

    Args:
      text: "group: what it is".
      low, high: of a number, inclusive.
      affects: what another value changes. "result": the numbers of a run; "length": how long it
        trains, so that a run may go on with another value; "repetition": which repetition of one
        experiment it is; "rounding": where and in which order it computes; "nothing": where it
        looks, and what it writes down.
      only: (flag, value, ...): without one of these values of it this one does nothing.
    """
    flag = {"text": text, "choices": choices or (), "low": low, "high": high}
    return dataclasses.field(
        default=default, metadata={"flag": flag, "affects": affects, "only": only}
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """One run. The fields are the flags; `python -m sideways_tf.train --help` prints them."""

    # fmt: off
    dataset: str = option(
        "moving_shapes",
        "data: moving_shapes, moving_directions or moving_objects (drawn, no download), ucf101, "
        "hmdb51, cater, folder (of class folders) or frames_only (any videos); moving_objects, "
        "cater and frames_only have no labels: --model=autoencoder", choices=DATASETS)
    data_dir: str = option(
        "", "data: the unpacked official archives, or a folder with the prepared data set",
        affects="nothing")
    cache_dir: str = option(
        "~/.cache/sideways_tf", "data: where prepared data sets are kept and found again",
        affects="nothing")
    split: int = option(1, "data: official split, 1 to 3", low=1, high=3, affects="repetition")
    holdout: float = option(
        0.0, "data: share of the training videos, whole recordings, to leave out of training and "
        "to test on instead of the test videos, in [0, 0.9]; 0: none", low=0.0, high=0.9)
    frames: int = option(64, "data: K, contiguous frames of a clip", low=1)
    stride: int = option(1, "data: keep every so many-th frame, in frames", low=1)
    padding: str = option(
        "torus", "data: what follows the end of a short video: its first frame on, or its last",
        choices=("torus", "repeat_last"))
    size: int = option(112, "data: height and width of a crop, in pixels", low=8)
    resize: int = option(
        0, "data: shorter side before cropping, in pixels; 0: size * 128 / 112, cater's own", low=0)
    allow_missing_videos: bool = option(
        False, "data: go on without the videos that a split lists and the folder lacks")
    allow_short_videos: bool = option(
        False, "data: take videos that were cut short as far as they go")
    skip_unreadable: bool = option(
        False, "data: go on without any number of unreadable videos, not only with 5 % of them",
        affects="nothing")
    strict_data: bool = option(
        False, "data: fail at the first unreadable video", affects="nothing")
    fps: float = option(
        0.0, "data: resample videos to so many frames a second; 0: take all frames", low=0.0)

    model: str = option(
        "simple_cnn", "model: the network; _norm: with batch norm, which vgg8 has anyway; _skip: "
        "with that and connections that skip modules, so that it sees motion; autoencoder: "
        "another task, to give back each frame of a stream",
        choices=(
            "simple_cnn", "vgg8", "simple_cnn_norm", "simple_cnn_skip", "vgg8_skip", "autoencoder"))
    target: str = option(
        "paper", "model: of autoencoder: the frame at hand when the output appears (current), or "
        "the one it stems from (source); paper: current for sideways (section 3.4), source for bp "
        "(eq. 1)", choices=("paper", "current", "source"), only=("model", "autoencoder"))
    dropout: float = option(
        0.0, "model: rate in the hidden linear modules of vgg8, in [0, 0.99]", low=0.0, high=0.99,
        only=("model", "vgg8", "vgg8_skip"))
    dropout_mask: str = option(
        "episode", "model: how long a mask of dropout holds: for a whole clip, so that a frozen "
        "stream gives BP's gradients, or for one computation step", choices=("episode", "step"))
    precision: str = option(
        "float32", "model: of activations and pseudo-gradients; weights are float32; with "
        "mixed_float16 the loss is scaled",
        choices=("float32", "mixed_bfloat16", "mixed_float16"))
    algorithm: str = option("sideways", "model: training algorithm", choices=tuple(ENGINES))
    engine: str = option(
        "auto", "model: of sideways: pipelined, a loop of computation steps, modules on their "
        "devices; or time_shifted, all frames at once, one device. Of bp: frame_by_frame, such a "
        "loop, blocking; batched, all frames at once; or gpipe, in a pipe that is drained, exact. "
        "auto: by number of devices",
        choices=("auto", *ENGINES["sideways"], *ENGINES["bp"]), affects="rounding")
    devices: str = option(
        "auto", "model: TensorFlow devices for the modules, in order, comma-separated "
        "(GPU:0,GPU:1); gpu: all GPUs; auto: all GPUs, else all CPUs", affects="rounding")
    placement: str = option(
        "one_per_module", "model: one_per_module (neighbours share where devices are fewer), "
        "balanced (by measured times), or a device for each module, comma-separated: its number "
        "in --devices, from 0, or name", affects="rounding")
    widen: bool = option(
        False, "model: --placement=balanced may share one module out over several devices, by "
        "output channels, as counted operations say", affects="rounding",
        only=("placement", "balanced"))
    modules: int = option(
        0, "model: N: cut the network into so many modules, even in operations; this changes D, "
        "hence what Sideways computes; 0: the model's own", low=0)
    logical_cpus: int = option(
        1, "model: split the CPU into so many devices, to try placements without GPUs", low=1,
        affects="rounding")
    workers: str = option(
        "", "model: remote TensorFlow servers host:port, comma-separated, that lend their devices",
        affects="rounding")

    batch_size: int = option(8, "training: B, clips in a batch", low=1)
    update_every: int = option(
        None, "training: L, computation steps from one update to the next, at most K; 0: K, one "
        "update a clip; unset: 0, for autoencoder 1", low=0)
    epochs: int = option(
        300, "training: passes over the training videos", low=1, affects="length")
    max_iterations: int = option(
        0, "training: stop after so many updates; 0: no limit", low=0, affects="length")
    optimizer: str = option(
        "adam", "training: update rule", choices=("adam", "sgd", "momentum"))
    learning_rate: float = option(1e-4, "training: initial learning rate", low=0.0)
    momentum: float = option(
        0.9, "training: of --optimizer=momentum, in [0, 1]", low=0.0, high=1.0,
        only=("optimizer", "momentum"))
    beta_1: float = option(
        0.9, "training: of --optimizer=adam, how much of its first moment stays from one update to "
        "the next, in [0, 0.999]; the paper does not say", low=0.0, high=0.999,
        only=("optimizer", "adam"))
    delay_rates: str = option(
        "none", "training: divide the learning rate of module i by sqrt(1 + 2(D - i)), root, or by "
        "1 + 2(D - i), inverse, for pseudo-gradients come so many steps late; none: as the paper",
        choices=("none", "root", "inverse"), only=("algorithm", "sideways"))
    look_ahead: str = option(
        "none", "training: let the weights stand ahead of each update by a multiple of it: of the "
        "momentum (nesterov), or of the updates until the loss comes back (delay); none: as the "
        "paper", choices=("none", "nesterov", "delay"))
    weight_decay: float = option(
        0.0, "training: decoupled weight decay, times the schedule", low=0.0)
    clip_value: float = option(
        1.0, "training: clip averaged gradients to +- this value; 0: do not", low=0.0)
    warmup_epochs: float = option(
        5.0, "training: learning rate rises linearly from 0 for so many epochs", low=0.0)
    drop_epochs: tuple[int, ...] = option(
        (100, 200), "training: epochs at which the learning rate is divided by 10")
    seed: int = option(
        0, "training: of weights, order, crops, flips and dropout", low=0, affects="repetition")

    workdir: str = option(
        "", "run: folder of this run; empty: a new one under runs/", affects="nothing")
    evaluate_every: int = option(
        10, "run: test every so many epochs, and at the end; 0: only at the end", low=0,
        affects="nothing")
    checkpoint_every: int = option(
        0, "run: save every so many iterations; 0: at the end of each epoch", low=0,
        affects="nothing")
    log_every: int = option(
        10, "run: write TensorBoard curves every so many iterations", low=1, affects="nothing")
    diagnose_every: int = option(
        0, "run: every so many iterations write, by module, the cosine and the norm ratio between "
        "pseudo-gradient and true gradient; such an iteration takes about twice as long; 0: "
        "never", low=0, affects="nothing")
    # fmt: on

    def __post_init__(self) -> None:
        if self.update_every is None:
            object.__setattr__(self, "update_every", int(self.autoencodes))
        if self.algorithm == "bp":
            object.__setattr__(self, "engine", OLD_ENGINES.get(self.engine, self.engine))

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

    @property
    def episode(self) -> int:
        """L, computation steps from one update to the next."""
        return self.update_every or self.frames

    @property
    def momentum_left(self) -> float:
        """How much of a step stays from one update to the next."""
        return {"adam": self.beta_1, "momentum": self.momentum}.get(self.optimizer, 0.0)

    def check(self, depth: int) -> None:
        """Refuse what no flag can see alone; `depth` is D.

        Raises:
          UserError: with the frames that D modules need, or the sizes an auto-encoder gives back.
        """
        if self.algorithm == "sideways" or self.update_every:
            check_episode(depth, self.frames)
        if self.autoencodes:
            check_size(self.size)

    @property
    def prepared_data(self) -> tuple[object, ...]:
        """Runs that are equal in this read the same prepared data set."""
        return self.dataset, self.split, self.shorter_side, self.fps

    def flag_lines(self) -> list[str]:
        """`--name=value` for every field but workdir: a flagfile that runs this again."""
        return [f"--{name}={_write(value)}" for name, value in self.plain().items()]

    def plain(self) -> dict[str, Any]:
        """Every field but workdir, as JSON gives it back."""
        fields = {**dataclasses.asdict(self), "drop_epochs": list(self.drop_epochs)}
        del fields["workdir"]
        return fields

    def affecting(self, *kinds: str) -> dict[str, Any]:
        """The fields that affect one of `kinds`, see `option`."""
        names = [f.name for f in dataclasses.fields(self) if f.metadata["affects"] in kinds]
        return {name: getattr(self, name) for name in names}

    def differences(self, other: Config) -> list[str]:
        """Names of the fields that make `other` another run, which cannot go on as this one."""
        mine = self.affecting("result", "repetition", "rounding")
        return [name for name, value in mine.items() if value != getattr(other, name)]

    @property
    def recipe(self) -> dict[str, Any]:
        """The fields that repetitions of one experiment have in common."""
        return self.affecting("result", "length")

    @property
    def departures(self) -> dict[str, Any]:
        """The part of the recipe that is not the paper's for data, network and algorithm.

        The paper's is that of the defaults; learning rate and weight decay it searched.
        """
        mine = self.recipe
        free = ("dataset", "model", "dropout", "algorithm", "learning_rate", "weight_decay")
        paper = Config(**{name: mine[name] for name in free})
        if self.shorter_side == paper.shorter_side:
            del mine["resize"]
        return {name: value for name, value in mine.items() if value != getattr(paper, name)}


def _write(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)

"""From a configuration to everything a run is made of."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf

from sideways_tf.checkpoints import SaveAndResume
from sideways_tf.data import Clip, VideoDataset, open_dataset
from sideways_tf.errors import UserError
from sideways_tf.learning_rate import WarmUpThenDrops
from sideways_tf.model import SidewaysModel
from sideways_tf.networks import autoencoder, simple_cnn, skip_arguments, vgg8
from sideways_tf.networks.autoencoder import pixel_error
from sideways_tf.optimizers import Optimizer
from sideways_tf.plan import devices
from sideways_tf.runs.config import Config
from sideways_tf.runs.folder import RunFolder
from sideways_tf.update_rules import make_optimizer


def start_tensorflow(config: Config) -> None:
    """Devices and determinism; before anything else touches TensorFlow.

    With deterministic kernels a run that was stopped and continued has, bit for bit, the weights
    of an unbroken one.
    """
    tf.get_logger().setLevel("ERROR")  # Keras warns of callbacks that write more than they wait.
    devices.split_cpu(config.logical_cpus)
    if config.workers:
        devices.connect_workers(config.workers)
    tf.keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()


def check(config: Config) -> None:
    """Refuse what is wrong before any data is read or prepared; needs TensorFlow's devices."""
    config.check(depth=config.modules or len(make_layers(config, num_classes=2)))
    devices.find_devices(config.devices)


def make_layers(config: Config, num_classes: int) -> list[tf.keras.layers.Layer]:
    """The layers of --model in --precision, one for each module before --modules cuts them anew."""
    with layers_in(config.precision):
        return _layers(config, num_classes)


@contextlib.contextmanager
def layers_in(policy: str) -> Iterator[None]:
    """Layers made within have this mixed precision policy; those made after are as ever."""
    policies, before = tf.keras.mixed_precision, tf.keras.mixed_precision.global_policy()
    policies.set_global_policy(policy)
    try:
        yield
    finally:
        # Unset, the policy is that of `set_floatx`: to set it to that would fix it for good.
        unset = before.name == tf.keras.backend.floatx()
        policies.set_global_policy(None if unset else before)


def _layers(config: Config, num_classes: int) -> list[tf.keras.layers.Layer]:
    if config.model in ("vgg8", "vgg8_skip"):
        return vgg8(num_classes, config.dropout)
    if config.autoencodes:
        return autoencoder()
    return simple_cnn(num_classes, batch_norm=config.model != "simple_cnn")


def clip_of(config: Config) -> Clip:
    """How clips are cut out of videos."""
    return Clip(config.frames, config.size, config.stride, config.padding)


def load_dataset(config: Config) -> VideoDataset:
    """The data set of the configuration, prepared first where it was not yet."""
    dataset = open_dataset(
        config.dataset,
        data_dir=config.data_dir or None,
        cache_dir=os.path.expanduser(config.cache_dir),
        split=config.split,
        resize=config.shorter_side,
        fps=config.fps or None,
        allow_missing_videos=config.allow_missing_videos,
        allow_short_videos=config.allow_short_videos,
        skip_unreadable=config.skip_unreadable,
        strict_data=config.strict_data,
    )
    return dataset.hold_out(config.holdout) if config.holdout else dataset


def iterations_per_epoch(config: Config, dataset: VideoDataset) -> int:
    """Full batches in an epoch.

    Raises:
      UserError: if there is not even one.
    """
    if config.batch_size > dataset.num_train:
        raise UserError(
            f"batch_size={config.batch_size}: {dataset.name} has {dataset.num_train} training "
            "videos; give a smaller batch"
        )
    return dataset.num_train // config.batch_size


def make_model(config: Config, dataset: VideoDataset) -> SidewaysModel:
    """The model, built and compiled, so that all variables exist."""
    layers = make_layers(config, len(dataset.class_names))
    model = SidewaysModel(
        layers,
        config.modules or None,
        algorithm=config.algorithm,
        engine=config.engine,
        devices=config.devices,
        placement=config.placement,
        widen=config.widen,
        update_every=config.update_every,
        dropout_mask=config.dropout_mask,
        seed=config.seed,
        **skip_arguments(config.model),
    )
    loss = pixel_error if config.autoencodes else tf.nn.sparse_softmax_cross_entropy_with_logits
    make = optimizer_maker(config, iterations_per_epoch(config, dataset), model)
    accuracy = tf.keras.metrics.SparseCategoricalAccuracy("frame_accuracy")
    model.compile(
        make, loss, metrics=None if config.autoencodes else [accuracy],
        delay_rates=config.delay_rates, look_ahead=config.look_ahead,
    )  # fmt: skip
    model.build([config.batch_size, config.frames, config.size, config.size, 3])
    model.optimizers.make(model.modules)
    return model


class Counted(tf.keras.optimizers.schedules.LearningRateSchedule):
    """`schedule` at the model's own count of updates: the same for all modules of a stream."""

    def __init__(self, schedule: WarmUpThenDrops, model: SidewaysModel):
        self.schedule, self.model = schedule, model

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        del step
        return self.schedule(self.model.update_count())


def optimizer_maker(config: Config, per_epoch: int, model: SidewaysModel):  # type: ignore[no-untyped-def]
    """Makes the optimizer of one module; an epoch is so many updates."""
    updates = per_epoch * -(-config.frames // config.episode)

    def make() -> Optimizer:
        rate, decay = (
            Counted(
                WarmUpThenDrops(initial, updates, config.warmup_epochs, config.drop_epochs), model
            )
            for initial in (config.learning_rate, config.weight_decay)
        )
        return make_optimizer(
            config.optimizer, rate, decay, config.momentum, config.clip_value, config.beta_1
        )

    return make


def source_target(config: Config) -> bool:
    """Whether the target is the frame that the output stems from.

    The paper's y^t: in Sideways the current frame (section 3.4); in BP that of the frame it has
    taken (eq. 1), for it drops those that came since.
    """
    if config.target == "paper":
        return config.algorithm == "bp"
    return config.target == "source"


def train_batches(
    config: Config, dataset: VideoDataset, epoch: int, skip: int = 0, depth: int = 1
) -> tf.data.Dataset:
    """One epoch of what `fit` takes: clips [B, K, ...], and labels [B] or frames [B, K, ...].

    Args:
      skip: batches left out at the epoch's start.
      depth: D, by how much the output is late: of auto-encoding.
    """
    batches = dataset.train_batches(
        clip_of(config), seed=config.seed, epoch=epoch, skip=skip, batch_size=config.batch_size
    )
    if not config.autoencodes:
        return batches
    late = depth - 1 if source_target(config) else 0

    def with_frames(clips: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if not late:
            return clips, clips
        return clips, tf.concat([tf.zeros_like(clips[:, :late]), clips[:, :-late]], axis=1)

    return batches.map(with_frames)


def open_trained(config: Config, folder: RunFolder) -> tuple[SidewaysModel, VideoDataset, int]:
    """A run as it was last saved: its model, its data set, its iteration.

    Raises:
      UserError: if nothing was saved yet.
    """
    check(config)
    dataset = load_dataset(config)
    model = make_model(config, dataset)
    saved = SaveAndResume(folder.checkpoints)
    saved.set_model(model)
    done = saved.restore()
    if not done:
        raise UserError(f"workdir={folder.path} has no checkpoint yet: train first")
    return model, dataset, done

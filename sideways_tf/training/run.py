"""From a configuration to everything a run is made of."""

from __future__ import annotations

import os
from collections.abc import Callable

import tensorflow as tf

from sideways_tf.config import Config
from sideways_tf.data import Clip, VideoDataset, open_dataset
from sideways_tf.engines import make_engine, placement
from sideways_tf.errors import UserError
from sideways_tf.models import SidewaysBlock, simple_cnn, vgg8
from sideways_tf.models.autoencoder import autoencoder, check_size
from sideways_tf.models.regroup import regroup
from sideways_tf.training.learning_rate import WarmUpThenDrops
from sideways_tf.training.optimizers import make_optimizer
from sideways_tf.training.update import Optimizer, Update


def start_tensorflow(config: Config) -> None:
    """Devices and determinism; before anything else touches TensorFlow.

    With deterministic kernels a run that was stopped and continued has, bit for bit, the weights
    of an unbroken one.
    """
    placement.split_cpu(config.logical_cpus)
    if config.workers:
        placement.connect_workers(config.workers)
    tf.keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()


def check(config: Config) -> None:
    """Refuse what is wrong before any data is read or prepared; needs TensorFlow's devices."""
    config.check(depth=len(make_layers(config, num_classes=2)))
    placement.find_devices(config.devices)


def make_layers(config: Config, num_classes: int) -> list[tf.keras.layers.Layer]:
    """The layers of --model, one for each module, as --modules cuts them."""
    if config.model == "vgg8":
        layers: list[tf.keras.layers.Layer] = vgg8(num_classes, config.dropout)
    elif config.dropout:
        raise UserError(
            f"--dropout={config.dropout}: {config.model} has no hidden linear module; use "
            "--model=vgg8, or no dropout"
        )
    elif config.model == "autoencoder":
        check_size(config.size)
        layers = autoencoder()
    else:
        layers = simple_cnn(num_classes)
    return regroup(layers, config.modules, frame_spec(config)) if config.modules else layers


def frame_spec(config: Config) -> tf.TensorSpec:
    """A batch of frames, [B, H, W, 3]."""
    return tf.TensorSpec([config.batch_size, config.size, config.size, 3], tf.float32)


def load_dataset(config: Config) -> VideoDataset:
    """The data set of the configuration, prepared first where it was not yet."""
    dataset = open_dataset(
        config.dataset,
        data_dir=config.data_dir or None,
        cache_dir=os.path.expanduser(config.cache_dir),
        split=config.split,
        resize=config.shorter_side,
        allow_missing_videos=config.allow_missing_videos,
        strict_data=config.strict_data,
    )
    return dataset.hold_out(config.holdout) if config.holdout else dataset


def clip(config: Config) -> Clip:
    """What the configuration cuts out of a video."""
    return Clip(config.frames, config.size, config.stride, config.padding)


def make_modules(config: Config, num_classes: int) -> list[SidewaysBlock]:
    """The modules, each on its device, not yet built."""
    layers = make_layers(config, num_classes)
    devices = placement.place(
        config.placement, layers, frame_spec(config), placement.find_devices(config.devices)
    )
    if config.engine == "time_shifted" and len(set(devices)) > 1:
        raise UserError(
            f"--engine=time_shifted runs on one device, --devices={config.devices} and "
            f"--placement={config.placement} take {len(set(devices))}: name one, or use "
            "--engine=pipelined"
        )
    return [SidewaysBlock(x, device) for x, device in zip(layers, devices, strict=True)]


def iterations_per_epoch(config: Config, dataset: VideoDataset) -> int:
    """Full batches in an epoch.

    Raises:
      UserError: if there is not even one.
    """
    if config.batch_size > dataset.num_train:
        raise UserError(
            f"--batch_size={config.batch_size}: {dataset.name} has {dataset.num_train} training "
            "videos; give a smaller batch"
        )
    return dataset.num_train // config.batch_size


def schedule(config: Config, initial: float, per_epoch: int) -> WarmUpThenDrops:
    """The learning-rate schedule of the configuration, scaled to `initial`."""
    return WarmUpThenDrops(initial, per_epoch, config.warmup_epochs, config.drop_epochs)


def optimizer_maker(config: Config, per_epoch: int) -> Callable[[], Optimizer]:
    """Makes the optimizer of one module."""

    def make() -> Optimizer:
        return make_optimizer(
            config.optimizer,
            schedule(config, config.learning_rate, per_epoch),
            schedule(config, config.weight_decay, per_epoch),
            config.momentum,
        )

    return make


def make_update(config: Config, dataset: VideoDataset) -> Update:
    """Engine and optimizers, built and traced, so that all variables exist."""
    per_epoch = iterations_per_epoch(config, dataset)
    engine = make_engine(
        config.algorithm,
        make_modules(config, len(dataset.class_names)),
        tf.nn.sparse_softmax_cross_entropy_with_logits,
        config.engine,
    )
    frame = frame_spec(config)
    engine.build(frame)
    update = Update(
        engine,
        optimizer_maker(config, per_epoch),
        config.clip_value,
        config.seed,
        window=per_epoch,
    )
    update.__call__.get_concrete_function(
        tf.TensorSpec([config.frames, *frame.shape], tf.float32),
        tf.TensorSpec([config.batch_size], tf.int32),
    )
    return update

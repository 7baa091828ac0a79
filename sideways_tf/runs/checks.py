"""What is wrong with a configuration that no flag can see alone; without TensorFlow."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from sideways_tf.errors import UserError
from sideways_tf.runs.config import ENGINES, UNLABELLED, Config


def check_flags(config: Config) -> None:
    """Refuse flags that contradict each other, that do nothing, or whose folder is not there.

    Raises:
      UserError: naming the flags, their values and the remedy.
    """
    for field in dataclasses.fields(config):
        value, (other, needed) = getattr(config, field.name), field.metadata["only"] or ("", "")
        if other and value != field.default and getattr(config, other) != needed:
            raise UserError(
                f"--{field.name}={value} does nothing with --{other}={getattr(config, other)}, "
                f"it is for --{other}={needed}: leave it out"
            )
    if config.shorter_side and config.size > config.shorter_side:
        raise UserError(
            f"--size={config.size} is larger than the frames, whose shorter side is "
            f"--resize={config.shorter_side} pixels: crop less or resize to more"
        )
    if list(config.drop_epochs) != sorted(set(config.drop_epochs)):
        raise UserError(f"--drop_epochs={config.drop_epochs} must rise from one to the next")
    if config.dataset in UNLABELLED and not config.autoencodes:
        raise UserError(
            f"--dataset={config.dataset} has no labels, --model={config.model} classifies: use "
            "--model=autoencoder, or a data set with labels"
        )
    _check_engine(config)
    if config.data_dir and not Path(config.data_dir).expanduser().is_dir():
        raise UserError(f"--data_dir={config.data_dir} is no folder: name the one with the data")
    check_writable("cache_dir", config.cache_dir)


def _check_engine(config: Config) -> None:
    ours = ENGINES[config.algorithm]
    if config.engine not in ("auto", *ours):
        raise UserError(
            f"--engine={config.engine} is none of --algorithm={config.algorithm}: use "
            f"{', '.join(ours)} or auto"
        )
    if config.update_every > config.frames:
        raise UserError(
            f"--update_every={config.update_every} is more than the --frames={config.frames} of a "
            "clip: give at most these, or 0"
        )
    if config.episode < config.frames and config.engine not in ("auto", ours[0]):
        raise UserError(
            f"--engine={config.engine} computes many frames at once, --update_every="
            f"{config.update_every} learns before the clip ends: leave --engine out"
        )
    if config.episode < config.frames and config.diagnose_every:
        raise UserError(
            f"--diagnose_every={config.diagnose_every} compares gradients of whole clips, "
            f"--update_every={config.update_every} updates before one ends: leave it out"
        )


def check_writable(flag: str, path: str | Path) -> None:
    """Refuse a folder that is none, or that cannot be made."""
    folder = Path(path).expanduser().absolute()
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"--{flag}={path}: {there} is no folder to write in; name another")

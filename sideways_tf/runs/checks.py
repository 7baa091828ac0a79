"""What is wrong with a configuration that no flag can see alone; without TensorFlow."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from sideways_tf.errors import UserError
from sideways_tf.runs.config import ENGINES, UNLABELLED, Config


def check_flags(c: Config) -> None:
    """Refuse flags that contradict each other, that do nothing, or whose folder is not there.

    Raises:
      UserError: naming the flags, their values and the remedy.
    """
    engines, within = ENGINES[c.algorithm], c.episode < c.frames
    for wrong, said in (
        (c.shorter_side and c.size > c.shorter_side,
         f"--size={c.size} is larger than the frames, whose shorter side is --resize="
         f"{c.shorter_side} pixels: crop less or resize to more"),
        (list(c.drop_epochs) != sorted(set(c.drop_epochs)),
         f"--drop_epochs={c.drop_epochs} must rise from one to the next"),
        (c.dataset in UNLABELLED and not c.autoencodes,
         f"--dataset={c.dataset} has no labels, --model={c.model} classifies: use "
         "--model=autoencoder, or a data set with labels"),
        (c.engine not in ("auto", *engines),
         f"--engine={c.engine} is none of --algorithm={c.algorithm}: use {', '.join(engines)} or "
         "auto"),
        (c.update_every > c.frames,
         f"--update_every={c.update_every} is more than the --frames={c.frames} of a clip: give at "
         "most these, or 0"),
        (within and c.engine not in ("auto", engines[0]),
         f"--engine={c.engine} computes many frames at once, --update_every={c.update_every} "
         "learns before the clip ends: leave --engine out"),
        (within and c.diagnose_every,
         f"--diagnose_every={c.diagnose_every} compares gradients of whole clips, --update_every="
         f"{c.update_every} updates before one ends: leave it out"),
        (c.look_ahead == "nesterov" and not c.momentum_left,
         f"--look_ahead=nesterov looks ahead by momentum, of which --optimizer={c.optimizer} has "
         "none here: give --momentum or --beta_1 above 0, or leave it out"),
        (c.look_ahead == "delay" and (c.algorithm == "bp" or not within),
         f"--look_ahead=delay does nothing with --algorithm={c.algorithm} and --update_every="
         f"{c.update_every}, where no weights move before a loss comes back: leave it out"),
    ):  # fmt: skip
        if wrong:
            raise UserError(said)
    check_there("data_dir", c.data_dir)
    _check_only(c)
    check_writable("cache_dir", c.cache_dir)


def _check_only(c: Config) -> None:
    """Refuse flags that do nothing without another one."""
    for field in dataclasses.fields(c):
        value, (other, *needed) = getattr(c, field.name), field.metadata["only"] or ("",)
        if other and value != field.default and getattr(c, other) not in needed:
            raise UserError(
                f"--{field.name}={value} does nothing with --{other}={getattr(c, other)}, "
                f"it is for --{other}={' and '.join(needed)}: leave it out"
            )


def check_there(flag: str, path: str | None) -> None:
    """Refuse a folder of data that is given and is not there."""
    if path and not Path(path).expanduser().is_dir():
        what = "a file, not a folder" if Path(path).expanduser().exists() else "no such folder"
        raise UserError(f"--{flag}={path}: {what}; name the one with the data")


def check_writable(flag: str, path: str | Path) -> None:
    """Refuse a folder that is none, or that cannot be made."""
    folder = Path(path).expanduser().absolute()
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"--{flag}={path}: {there} is no folder to write in; name another")

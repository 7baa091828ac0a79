"""What TensorBoard shows of a run beside its curves: its configuration, as a card and in HPARAMS.

Everything goes into the two runs that have curves, `train` and `test`, so that there is no third
one without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.plugins.text import summary_v2 as text

SUFFIX = ".card"


def write_cards(
    folder: Path,
    configuration: Mapping[str, Any],
    layout: layout_pb2.Layout | None,
    changes: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Add them to the TensorBoard files below the run's `folder`, unless it has them.

    Args:
      configuration: flags and their values.
      layout: of the page "Custom Scalars".
      changes: flags that were changed while the run went on; a card of its own for each time.
    """
    suffix = f"{SUFFIX}{len(changes) or ''}"
    if any(folder.glob(f"train/events.out.tfevents.*{suffix}")):
        return
    values = {name: _value(value) for name, value in configuration.items()}
    rows = [f"| {name} | {value} |" for name, value in values.items()]
    card = text.text_pb("configuration", "\n".join(["| flag | value |", "|---|---|", *rows]))
    if changes:
        _add(folder / "train", card, step=changes[-1]["iteration"], suffix=suffix)
        return
    _add(folder / "test", hparams.hparams_pb(values, trial_id=folder.name))
    _add(folder / "train", card, *([custom_scalar.pb(layout)] if layout else []))


def write_layout(run: Path, layout: layout_pb2.Layout) -> None:
    """Add the layout of the page "Custom Scalars" to the TensorBoard files of `run`."""
    _add(run, custom_scalar.pb(layout))


def _add(run: Path, *summaries: Any, step: int = 0, suffix: str = SUFFIX) -> None:
    writer = tf.summary.create_file_writer(str(run), filename_suffix=suffix)
    with writer.as_default(step=step):
        for summary in summaries:
            tf.summary.experimental.write_raw_pb(summary.SerializeToString())
    writer.close()


def _value(value: Any) -> bool | int | float | str:
    """As HPARAMS take it."""
    return value if isinstance(value, bool | int | float | str) else ",".join(map(str, value))

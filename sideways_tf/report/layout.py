"""TensorBoard's page "Custom Scalars": what belongs together, BP and Sideways side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2

from sideways_tf.errors import UserError
from sideways_tf.report.card import write_layout

if TYPE_CHECKING:
    from sideways_tf.report.dynamics import Column
    from sideways_tf.report.runs import Drawn

# Heading -> tag of a single curve.
SINGLE = {
    "Loss": "fit/loss",
    "Accuracy of frames": "fit/frame_accuracy",
    "Accuracy of test videos": "fit/video_accuracy",
}
# Heading -> prefix of one curve for each module.
BY_MODULE = {
    "Gradient mean": "gradient_mean",
    "Gradient norm": "gradient_norm",
    "Cosine to the true gradient": "gradient_cosine",
    "Norm / true gradient's norm": "gradient_norm_ratio",
}


def run_layout(depth: int) -> layout_pb2.Layout:
    """For folders of runs: a chart for each quantity and module, every run a line in it."""
    single = {name: {name.lower(): f"^{tag}$"} for name, tag in SINGLE.items()}
    modules = range(1, depth + 1)
    by_module = {
        name: {f"module {i}": f"^{prefix}/module_{i}$" for i in modules}
        for name, prefix in BY_MODULE.items()
    }
    return _layout(single | by_module)


def comparison_layout(columns: Sequence[str]) -> layout_pb2.Layout:
    """For `write_comparison`: a chart for each quantity and column, side by side."""
    ends = {name: f"{tag}$" for name, tag in SINGLE.items()}
    ends |= {name: f"{prefix}/" for name, prefix in BY_MODULE.items()}
    return _layout({name: {c: f"^{slug(c)}/{end}" for c in columns} for name, end in ends.items()})


def _layout(charts: dict[str, dict[str, str]]) -> layout_pb2.Layout:
    """category -> chart -> regular expression of its tags."""
    categories = []
    for name, titled in charts.items():
        lines = {
            title: layout_pb2.MultilineChartContent(tag=[tag]) for title, tag in titled.items()
        }
        made = [layout_pb2.Chart(title=title, multiline=line) for title, line in lines.items()]
        categories.append(layout_pb2.Category(title=name, chart=made))
    return layout_pb2.Layout(category=categories)


def slug(column: str) -> str:
    """A column's title as a part of a tag: vgg-8-dropout-0.9-bp, say."""
    letters = (c.lower() if c.isalnum() or c in ".-" else " " for c in column)
    return "-".join("".join(letters).split())


def write_comparison(columns: Sequence[Column], folder: Path) -> Path:
    """The curves of all columns once more, for `tensorboard --logdir folder`.

    Tags start with the column, runs are named by learning rate, weight decay, split and seed, so
    that one line style means one setting in every chart.

    Raises:
      UserError: if `folder` is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"tensorboard={folder} is not empty: name a new folder")
    titles = [column.title.replace("\n", ", ") for column in columns]
    copies = [
        _copy(drawn, slug(title), folder)
        for title, column in zip(titles, columns, strict=True)
        for drawn in column.runs
    ]
    write_layout(copies[0], comparison_layout(titles))
    return folder


def _copy(drawn: Drawn, prefix: str, folder: Path) -> Path:
    """The folder of the copy."""
    c = drawn.run.config
    name = f"rate {c.learning_rate:g}, decay {c.weight_decay:g}, split {c.split}, seed {c.seed}"
    writer = tf.summary.create_file_writer(str(folder / name))
    with writer.as_default():
        for tag, curve in drawn.curves.items():
            for step, value in zip(*curve, strict=True):
                # The part before the first slash, train or test, is told by the tag's own name.
                tf.summary.scalar(f"{prefix}/{tag.partition('/')[2]}", value, step=int(step))
    writer.close()
    return folder / name

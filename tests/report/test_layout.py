"""TensorBoard's custom scalars: the layout read back, and that its expressions find the curves."""

import re

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.custom_scalar import layout_pb2

from sideways_tf.errors import UserError
from sideways_tf.report import dynamics
from sideways_tf.report.layout import slug, write_comparison
from sideways_tf.runs.config import Config
from sideways_tf.runs.read import find_runs
from tests.report.made_runs import DEPTH, make_run

HEADINGS = [
    "Loss", "Accuracy of frames", "Accuracy of test videos", "Gradient mean", "Gradient norm",
    "Cosine to the true gradient", "Norm / true gradient's norm",
]  # fmt: skip


def read_layout(folder):
    """Heading -> chart -> expression, from the one event file below `folder` that has a layout."""
    assert not list(folder.glob("events*")), "a run without a curve"
    (values,) = [
        [value for event in EventFileLoader(str(file)).Load() for value in event.summary.value]
        for file in folder.glob("*/events*.card")
        if file.parent.name != "test"
    ]
    for value in values:
        if value.metadata.plugin_data.plugin_name == "custom_scalars":
            layout = layout_pb2.Layout.FromString(value.tensor.string_val[0])
            return {
                category.title: {chart.title: chart.multiline.tag[0] for chart in category.chart}
                for category in layout.category
            }
    return None


def tags(folder):
    """Every scalar tag below `folder`."""
    return {
        value.tag
        for file in folder.glob("*/events*")
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "scalars"
    }


def test_every_run_has_a_chart_for_each_quantity_and_module(tmp_path):
    path = make_run(tmp_path / "run", Config(), diagnosed=True)
    make_run(tmp_path / "run", Config(), diagnosed=True)  # Continued: no second layout.
    layout = read_layout(path)
    assert list(layout) == HEADINGS
    assert list(layout["Gradient norm"]) == [f"module {i}" for i in range(1, DEPTH + 1)]
    written = tags(path)
    for charts in layout.values():
        for title, expression in charts.items():
            assert len([tag for tag in written if re.match(expression, tag)]) == 1, title


def test_a_comparison_puts_bp_and_sideways_side_by_side(tmp_path):
    for algorithm in ("bp", "sideways"):
        for seed in (0, 1):
            config = Config(algorithm=algorithm, seed=seed)
            make_run(tmp_path / f"runs/{algorithm}{seed}", config, diagnosed=True)
    columns, _ = dynamics.columns(find_runs([tmp_path / "runs"])[0])
    folder = write_comparison(columns, tmp_path / "compare")
    layout = read_layout(folder)
    assert list(layout) == HEADINGS
    written = tags(folder)
    for name, charts in layout.items():
        assert list(charts) == ["Simple-CNN, BP", "Simple-CNN, Sideways"]
        for expression in charts.values():
            found = [tag for tag in written if re.match(expression, tag)]
            assert len(found) == (DEPTH if "radient" in name else 1), name
    runs = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert runs == [f"rate 0.0001, decay 0, split 1, seed {seed}" for seed in (0, 1)]
    with pytest.raises(UserError, match="is not empty"):
        write_comparison(columns, folder)


def test_slug():
    assert slug("ucf101, VGG-8 + dropout 0.9, BP") == "ucf101-vgg-8-dropout-0.9-bp"

"""Figures 4, 5 and 6, read off their axes: what is drawn are the runs' own numbers."""

import dataclasses

import numpy as np
import pytest

from sideways_tf.report import dynamics, strides
from sideways_tf.report.lines import combine
from sideways_tf.report.runs import Curve
from sideways_tf.runs.config import Config
from sideways_tf.runs.read import find_runs
from tests.report.made_runs import make_run, value_at

BASE = Config(dataset="ucf101", frames=16)


def lines(axes):
    """label -> (x, y) of every line in `axes`."""
    return {
        line.get_label(): (line.get_xdata().tolist(), pytest.approx(line.get_ydata().tolist()))
        for line in axes.get_lines()
    }


def curve(*points):
    steps, values = zip(*points, strict=True)
    return Curve(np.array(steps), np.array(values, float))


def test_combine_by_hand():
    line = combine([curve((1, 2.0), (2, 4.0)), curve((2, 6.0), (3, 1.0))], points=10)
    assert line.steps.tolist() == [1, 2, 3]
    assert line.mean.tolist() == [2, 5, 1]
    assert line.low.tolist() == [2, 4, 1]
    assert line.high.tolist() == [2, 6, 1]
    # At most two points: neighbours two by two, a NaN and the spare place at the end left out.
    line = combine([curve((2, 1.0), (4, 3.0), (6, float("nan")))], points=2)
    assert line.steps.tolist() == [3, 6]
    assert line.mean[0] == 2
    assert np.isnan(line.mean[1])
    assert combine([], points=3) is None


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """VGG-8 and Simple-CNN, BP and Sideways, two rates, two seeds."""
    root = tmp_path_factory.mktemp("runs")
    for model, algorithm, rate, seed in (
        ("simple_cnn", "sideways", 1e-4, 0), ("simple_cnn", "sideways", 1e-4, 1),
        ("simple_cnn", "sideways", 1e-5, 0), ("simple_cnn", "bp", 1e-4, 0),
        ("vgg8", "bp", 1e-5, 0),
    ):  # fmt: skip
        changes = {"model": model, "algorithm": algorithm, "learning_rate": rate, "seed": seed}
        make_run(
            root / f"{model}-{algorithm}-{rate}-{seed}",
            dataclasses.replace(BASE, **changes),
            diagnosed=model == "simple_cnn",
            value=lambda n, seed=seed: value_at(n) + seed,
        )
    return root


def test_figure_4_has_the_papers_arrangement_and_the_runs_numbers(places):
    found, remarks = dynamics.columns(find_runs([places])[0])
    assert remarks == []
    assert [column.title for column in found] == [
        "VGG-8, BP", "Simple-CNN, BP", "Simple-CNN, Sideways",
    ]  # fmt: skip
    figure = dynamics.figures(found, points=100)["figure4"]
    assert len(figure.axes) == 3 * 3
    loss, mean, norm = (lines(figure.axes[3 * row + 2]) for row in range(3))
    steps = list(range(1, 9))
    # Two seeds, n / 8 and n / 8 + 1; module i has i times that: 2 times in the mean of three.
    assert loss["rate 0.0001"] == (steps, [n / 8 + 0.5 for n in steps])
    assert loss["rate 1e-05"] == (steps, [n / 8 for n in steps])
    assert mean["rate 0.0001"] == (steps, [2 * (n / 8 + 0.5) for n in steps])
    assert norm["rate 0.0001"] == (steps, [20] * 8)
    assert list(lines(figure.axes[0])) == ["rate 1e-05"]
    colours = {
        line.get_label(): line.get_color() for axes in figure.axes for line in axes.get_lines()
    }
    assert len(set(map(str, colours.values()))) == 2, "one colour a setting, in every panel"


def test_figure_5_and_agreement(places):
    found, _ = dynamics.columns(find_runs([places])[0])
    made = dynamics.figures(found, points=100)
    train, test = (lines(made["figure5"].axes[3 * row + 2]) for row in range(2))
    assert train["rate 1e-05"][1] == [n / 8 % 1 for n in range(1, 9)]
    assert test["rate 1e-05"] == ([8], [0.5])
    cosine, ratio = (lines(made["agreement"].axes[3 * row + 2]) for row in range(2))
    assert [cosine[f"module {i}"][1].expected[0] for i in (1, 2, 3)] == pytest.approx(
        [1 / 2, 2 / 3, 3 / 4]
    )
    assert [ratio[f"module {i}"][1].expected[0] for i in (1, 2, 3)] == [1, 2, 3]
    assert lines(made["agreement"].axes[0]) == {}, "VGG-8 was not diagnosed"
    undiagnosed = [found[0]]
    assert set(dynamics.figures(undiagnosed, points=9)) == {"figure4", "figure5"}


def test_figure_6_and_its_table(tmp_path):
    for algorithm, stride, rate, accuracy in (
        ("sideways", 2, 1e-5, 0.75), ("sideways", 6, 1e-5, 0.5), ("bp", 2, 1e-5, 0.25),
        ("sideways", 2, 1e-4, 1.0),
    ):  # fmt: skip
        config = dataclasses.replace(
            BASE, algorithm=algorithm, stride=stride, learning_rate=rate, frames=16
        )
        make_run(tmp_path / f"{algorithm}{stride}{rate}", config, accuracy=accuracy)
    make_run(tmp_path / "stray", dataclasses.replace(BASE, frames=32))
    make_run(tmp_path / "stream", dataclasses.replace(BASE, model="autoencoder"))
    drawn, remarks = strides.select(find_runs([tmp_path])[0])
    assert len(drawn) == 4
    assert [remark.partition(":")[0] for remark in remarks] == [
        str(tmp_path / name) for name in ("stream", "stray")
    ]
    figure = strides.figure(drawn, points=100)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        "Sideways, learning rate 1e-05", "BP, learning rate 1e-05",
        "Sideways, learning rate 0.0001", "BP, learning rate 0.0001",
    ]  # fmt: skip
    favourable = lines(figure.axes[0])
    assert list(favourable) == ["stride 2", "stride 2, test", "stride 6", "stride 6, test"]
    assert favourable["stride 6"][1] == [n / 8 % 1 for n in range(1, 9)]
    assert favourable["stride 6, test"] == ([8], [0.5])
    assert figure.axes[0].get_lines()[0].get_color() == "red"
    assert list(lines(figure.axes[3])) == []
    assert strides.table(drawn).rows == [
        ["BP", "1e-05", "25.0 (1 run)", "not run"],
        ["Sideways", "1e-05", "75.0 (1 run)", "50.0 (1 run)"],
        ["Sideways - BP", "1e-05", "+50.0 (1 pair)", "-"],
        ["BP", "0.0001", "not run", "not run"],
        ["Sideways", "0.0001", "100.0 (1 run)", "not run"],
        ["Sideways - BP", "0.0001", "-", "-"],
    ]

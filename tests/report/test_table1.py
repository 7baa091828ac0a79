"""Table 1: the paper's rows, those of small runs below, and what is left out."""

import dataclasses

import pytest

from sideways_tf.report.table1 import HEADER, PAPER, table1
from sideways_tf.runs.config import Config
from sideways_tf.runs.read import read_run
from tests.report.made_runs import make_run

UCF = Config(dataset="ucf101")
SMALL = dataclasses.replace(UCF, size=56, frames=32, epochs=60, allow_missing_videos=True)


def read(*paths):
    return [read_run(path) for path in paths]


def rows(table):
    """(data, model, whether it departs) -> row as a dict."""
    made = [dict(zip(HEADER, row, strict=True)) for row in table.rows]
    return {(r["data"], r["model"], r["departs from the paper"] != "-"): r for r in made}


def test_without_runs_every_row_of_the_paper_says_not_run():
    table = table1([])
    assert len(table.rows) == len(PAPER)
    row = rows(table)["ucf101", "vgg8 + dropout 0.9", False]
    assert (row["paper: BP"], row["paper: Sideways"]) == ("56.0", "58.2")
    assert {row["BP"] for row in rows(table).values()} == {"not run"}
    assert "| not run" in table.markdown()
    assert table.csv().count("not run") == 2 * len(PAPER)


def test_mean_and_deviation_beside_the_papers_numbers(tmp_path):
    paths = [
        make_run(tmp_path / f"{a}{seed}", dataclasses.replace(UCF, algorithm=a, seed=seed),
                 accuracy=accuracy)
        for a, seed, accuracy in (("bp", 0, 0.4), ("bp", 1, 0.5), ("sideways", 0, 0.42))
    ]  # fmt: skip
    row = rows(table1(read(*paths)))["ucf101", "simple_cnn", False]
    assert row["BP"] == "45.0 ± 7.1 (2 runs)"
    assert row["Sideways"] == "42.0 (1 run)"
    assert (row["paper: BP"], row["rate, decay of BP"]) == ("40.7", "0.0001, 0")


def test_smaller_runs_get_a_row_of_their_own_that_says_how_they_depart(tmp_path):
    paths = [
        make_run(tmp_path / "a", SMALL, accuracy=0.6),
        make_run(tmp_path / "b", dataclasses.replace(SMALL, algorithm="bp", split=2), accuracy=0.7),
        make_run(tmp_path / "c", dataclasses.replace(SMALL, frames=16)),
    ]
    table = table1(read(*paths))
    assert rows(table)["ucf101", "simple_cnn", False]["BP"] == "not run"
    row = rows(table)["ucf101", "simple_cnn", True]
    assert (row["BP"], row["Sideways"]) == ("70.0 (1 run)", "60.0 (1 run)")
    assert row["paper: BP"] == "-", "not the paper's experiment, so not its number"
    assert row["departs from the paper"] == (
        "--frames=32 --size=56 --allow_missing_videos=True --epochs=60 320 training videos"
    )
    (line,) = table.left_out
    assert line.startswith(f"{tmp_path / 'c'}: of another recipe")


def test_of_several_settings_the_one_with_the_lowest_training_loss(tmp_path):
    """Whatever the test says."""
    paths = [
        make_run(tmp_path / str(rate), dataclasses.replace(UCF, learning_rate=rate),
                 accuracy=accuracy, value=lambda n, loss=loss: loss)
        for rate, loss, accuracy in ((1e-4, 0.2, 0.3), (1e-5, 0.4, 0.9))
    ]  # fmt: skip
    row = rows(table1(read(*paths)))["ucf101", "simple_cnn", False]
    assert row["Sideways"] == "30.0 (1 run)"
    assert row["of Sideways"] == "0.0001, 0 (of 2)"


def test_what_does_not_belong_is_named_and_the_rest_comes_out(tmp_path):
    good = read(make_run(tmp_path / "good", UCF))
    held = read(make_run(tmp_path / "held", dataclasses.replace(UCF, holdout=0.2)))
    stream = read(make_run(tmp_path / "stream", Config(model="autoencoder")))
    table = table1([*held, *good, *stream])
    assert rows(table)["ucf101", "simple_cnn", False]["Sideways"] == "50.0 (1 run)"
    (line,) = table.left_out
    assert line.startswith("1 runs were tested on held-out training videos")


@pytest.mark.parametrize("change", [{"epochs": 299}, {"size": 64}, {"clip_value": 0.0}])
def test_any_departure_keeps_a_run_out_of_the_papers_row(change, tmp_path):
    path = make_run(tmp_path / "a", dataclasses.replace(UCF, **change))
    assert rows(table1(read(path)))["ucf101", "simple_cnn", False]["Sideways"] == "not run"

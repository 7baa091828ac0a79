"""Table 3 from made-up results: grouping, spread, what is missing or damaged."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sideways_tf.report.runs import Run
from sideways_tf.report.table import Table, spread
from sideways_tf.report.table3 import table3
from sideways_tf.runs.config import Config
from sideways_tf.runs.from_flags import from_plain

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]


def result(algorithm, error, seed=0, **changes):
    """What results.json holds, as far as the table reads it."""
    settings = {"dataset": "moving_objects", "model": "autoencoder", "size": 48, "resize": 64}
    changes = {"learning_rate": 1e-3, "algorithm": algorithm, "seed": seed, **changes}
    return {
        "configuration": Config(**{**settings, **changes}).plain(),
        "iterations": 10,
        "train_loss": 0.5,
        "train_videos": 16,
        "stream_frames": 640,
        "test_error": error,
        "test_floor": 0.5,
        "test_source_error": 0.25,
        "test_latency_floor": 0.125,
    }


def run(*arguments, **changes):
    results = result(*arguments, **changes)
    config = from_plain(results["configuration"])
    return Run(Path("run"), config, results, config.recipe, config.departures)


def test_seeds_are_averaged_and_other_settings_kept_apart():
    runs = [
        run("bp", 0.1, seed=0),
        run("bp", 0.3, seed=1),
        run("bp", 0.7, learning_rate=1e-4),
        run("sideways", 0.2),
        run("sideways", 0.6, modules=1),
        run("sideways", 0.9, target="source"),
        run("sideways", 0.8, update_every=0),
        run("bp", 0.1, model="simple_cnn"),
    ]
    rows = {tuple(row[:5]): row[5:] for row in table3(runs).rows}
    data = "moving_objects 48x48"
    assert rows[data, "bp", "640", "0.001", "2"][0] == "0.2000 ± 0.1414"
    assert rows[data, "bp", "640", "0.0001", "1"] == ["0.7000", "0.5000", "0.2500", "0.1250"]
    assert rows[data, "sideways", "640", "0.001", "1"][0] == "0.2000"
    assert rows[data, "sideways, 1 module", "640", "0.001", "1"][0] == "0.6000"
    assert rows[data, "sideways, target source", "640", "0.001", "1"][0] == "0.9000"
    assert rows[data, "sideways, an update every 64 steps", "640", "0.001", "1"][0] == "0.8000"


def test_differences_are_those_of_equal_seeds_on_one_stream():
    table = table3(
        [run("bp", 0.5, seed=0), run("bp", 0.7, seed=1), run("bp", 0.9, seed=5)]
        + [run("sideways", 0.25, seed=s, beta_1=0.5, delay_rates="inverse") for s in (0, 1, 2)]
        + [run("sideways", 0.1, size=56)]
    )
    # -0.25 and -0.45: mean -0.35, deviation 0.1414, t(1) = 12.706.
    assert table.below == [
        "- Sideways - BP on moving_objects 48x48, 640 frames: -0.3500 ± 1.2706 (95 %, 2 pairs); "
        "sideways, beta_1 0.5, inverse delay rates at 0.001, bp at 0.001"
    ]
    assert table.markdown().endswith("\n\n" + table.below[0])


def test_the_papers_numbers_and_what_was_not_run():
    rows = [list(row) for row in table3([]).rows]
    assert [row[1:6:4] for row in rows[:2]] == [["bp", "0.014"], ["sideways", "0.002"]]
    assert [row[:3] for row in rows[2:]] == [
        ["cater", name, "not run"] for name in ("bp", "sideways")
    ]
    ran = table3([run("bp", 0.1, dataset="cater"), run("sideways", 0.1, dataset="cater")])
    assert "not run" not in ran.markdown()


def test_markdown_and_csv():
    table = Table("Title", ["a", "long"], [["1,5", "2"]])
    assert table.markdown().splitlines() == [
        "Title", "", "| a   | long |", "|-----|------|", "| 1,5 | 2    |",
    ]  # fmt: skip
    assert table.csv() == 'a,long\n"1,5",2\n'


def test_spread_by_hand():
    assert spread([0.5, 0.7], 1, scale=100) == "60.0 ± 14.1"
    assert spread([1.5], 3) == "1.500"
    assert spread([], 3) == "not run"


def make_tables(*flags):
    command = [sys.executable, "tools/make_tables.py", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_a_damaged_run_is_named_and_the_rest_comes_out(tmp_path):
    for name, text in (("a", json.dumps(result("bp", 0.1))), ("b", '{"seed": ')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(text)
        (tmp_path / name / "something_else.json").write_text("[]")
    done = make_tables("--table=3", f"--results_dir={tmp_path}", f"--csv={tmp_path / 't.csv'}")
    assert done.returncode == 0, done.stderr
    assert "0.1000" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "b/results.json is damaged" in done.stderr
    assert "moving_objects 48x48,bp,640" in (tmp_path / "t.csv").read_text()


@pytest.mark.parametrize("flag", ["--results_dir=/nowhere", "--table=9"])
def test_bad_input_is_one_line(flag):
    done = make_tables(flag)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1

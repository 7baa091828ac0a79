"""metrics.jsonl: one row of a part and iteration, however the run was broken."""

import json

import numpy as np

from sideways_tf.runs.rows import Rows


def read(path):
    return [(row["part"], row["iteration"], row["loss"]) for row in map(json.loads, path.open())]


def test_rows_behind_the_checkpoint_and_one_cut_off_are_forgotten_and_none_comes_twice(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = Rows(path)
    rows.go_on_from(0)
    for n in (2, 4, 6):
        assert rows.add("train", n, {"loss": float(n)}) == {
            "part": "train", "iteration": n, "loss": n
        }  # fmt: skip
    rows.add("test", 4, {"loss": 0.5})
    path.write_text(path.read_text() + '{"part": "train", "iter')  # killed while it wrote
    again = Rows(path)
    again.go_on_from(4)
    assert (again.has("test", 4), again.has("train", 6)) == (True, False)
    assert again.add("test", 4, {"loss": 9.0}) is None
    again.add("train", 6, {"loss": float("nan")})
    assert read(path) == [
        ("train", 2, 2.0), ("train", 4, 4.0), ("test", 4, 0.5), ("train", 6, None)
    ]  # fmt: skip


def test_lists_of_modules_are_json_too(tmp_path):
    rows = Rows(tmp_path / "metrics.jsonl")
    rows.add("diagnosis", 1, {"loss": 0.0, "gradient_cosine": [1.0, float(np.nan)]})
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["gradient_cosine"] == [1.0, None]

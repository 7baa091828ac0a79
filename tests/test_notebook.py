"""docs/try.ipynb runs from top to bottom, and shows what its text says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BOOK = json.loads((ROOT / "docs" / "try.ipynb").read_text())


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What the cells print, run as one program in another folder."""
    cells = ["".join(cell["source"]) for cell in BOOK["cells"] if cell["cell_type"] == "code"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(cells)],
        cwd=tmp_path_factory.mktemp("notebook"),
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_every_network_learns(shown):
    percents = [float(found) for found in re.findall(r"([\d.]+)% of test frames", shown)]
    assert len(percents) == 3
    assert min(percents) > 75  # chance is 25


def test_frozen_clips_give_gradients_and_moving_ones_do_not(shown):
    found = {
        name: numbers.split() for name, numbers in re.findall(r"(\w+)((?: [\d.]+){4})\n", shown)
    }
    assert found["frozen"] == ["1.000"] * 4
    assert 0.5 < float(found["moving"][0]) < float(found["moving"][3]) <= 1


def test_the_exported_network_predicts_the_same(shown):
    assert shown.endswith("True\n")


def test_it_was_saved_whole_and_names_no_machine():
    code = [cell for cell in BOOK["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [*range(1, len(code) + 1)]
    streams = [o["name"] for cell in code for o in cell["outputs"] if o["output_type"] == "stream"]
    assert set(streams) == {"stdout"}

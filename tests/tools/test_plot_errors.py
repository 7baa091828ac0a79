"""The pictures of error curves, and of errors over the delay, from made-up results."""

import json
import subprocess
import sys
from pathlib import Path

import cv2

from sideways_tf.runs.config import Config
from sideways_tf.runs.read import AUTOENCODING, FIGURES

ROOT = Path(__file__).resolve().parents[2]


def plot(*flags, name="errors"):
    command = [sys.executable, "-m", "sideways_tf.cli", "plot", name, *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def write_run(folder, algorithm, level, **changes):
    points = [
        {"stream_frames": n, "error": level / n, "source_error": level / n / 2, "floor": level / 9}
        for n in (64, 128, 256)
    ]
    kind = {"model": "autoencoder", "dataset": "moving_objects", "epochs": 5}
    config = Config(algorithm=algorithm, **kind, **changes)
    figures = dict.fromkeys((*FIGURES, *AUTOENCODING), 1.0)
    results = {"configuration": config.plain(), "test_curve": points, **figures}
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results))


def test_each_algorithm_has_its_colour(tmp_path):
    for algorithm, level in (("bp", 1.0), ("sideways", 0.5)):
        write_run(tmp_path / algorithm, algorithm, level)
    done = plot(f"--results_dir={tmp_path}", f"--output={tmp_path / 'errors.png'}")
    assert done.returncode == 0, done.stderr
    picture = cv2.imread(str(tmp_path / "errors.png"))[..., ::-1].reshape(-1, 3)
    for colour in ([255, 127, 14], [31, 119, 180]):
        assert (abs(picture.astype(int) - colour).max(axis=1) < 8).sum() > 100


def test_each_setting_of_an_algorithm_has_a_colour_and_a_name(tmp_path):
    write_run(tmp_path / "bp", "bp", 1.0)
    for seed in (0, 1):
        write_run(tmp_path / f"plain{seed}", "sideways", 0.5 + seed / 9, seed=seed)
        means = {"beta_1": 0.0, "delay_rates": "inverse"}
        write_run(tmp_path / f"means{seed}", "sideways", 0.3 + seed / 9, seed=seed, **means)
    picture = tmp_path / "errors.svg"
    done = plot(f"--results_dir={tmp_path}", f"--output={picture}")
    assert done.returncode == 0, done.stderr
    text = picture.read_text()
    named = (
        "BP, learning rate 0.0001",
        "Sideways, learning rate 0.0001",
        "Sideways, learning rate 0.0001, beta_1 0, inverse delay rates",
        "floor of BP",
        "floor of Sideways",
    )
    for words in named:
        assert text.count(f"<!-- {words} -->") == 1  # Both seeds are one entry of the legend.
    # Two panels of two runs: four lines of a colour, a fifth in the legend.
    for colour in ("#1f77b4", "#2ca02c"):
        assert text.count(f"stroke: {colour}; stroke-linecap: square") == 5


def test_errors_over_the_delay(tmp_path):
    for depth in (1, 3, 0):
        write_run(tmp_path / f"plain{depth}", "sideways", 1.0, modules=depth)
        way = {"modules": depth, "beta_1": 0.5, "delay_rates": "inverse"}
        write_run(tmp_path / f"mended{depth}", "sideways", 0.5, **way)
    write_run(tmp_path / "bp", "bp", 1.0)
    picture = tmp_path / "delay.svg"
    done = plot(f"--results_dir={tmp_path}", f"--output={picture}", name="delay")
    assert done.returncode == 0, done.stderr
    text = picture.read_text()
    for words in (
        "learning rate 0.0001, as the paper",
        "beta_1 0.5, inverse delay rates",
        "6 (10)",
    ):
        assert f"<!-- {words}" in text or f", {words} -->" in text
    assert "2 (2)" not in text
    early = plot(f"--results_dir={tmp_path}", "--frames=64", f"--output={picture}", name="delay")
    assert early.returncode == 0, early.stderr
    assert picture.read_text() != text
    never = plot(f"--results_dir={tmp_path}", "--frames=65", f"--output={picture}", name="delay")
    assert "no auto-encoding run of Sideways on moving_objects tested after 65" in never.stderr


def test_nothing_to_draw_is_one_line(tmp_path):
    write_run(tmp_path / "bp", "bp", 1.0)
    for flags in (["--dataset=cater"], ["--epochs=7"]):
        done = plot(f"--results_dir={tmp_path}", f"--output={tmp_path / 'a.png'}", *flags)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert "holds no auto-encoding run" in done.stderr
    done = plot(f"--results_dir={tmp_path}", f"--output={tmp_path / 'a.png'}", name="delay")
    assert done.returncode == 2
    assert "no auto-encoding run of Sideways on moving_objects" in done.stderr

"""The picture of error curves, from made-up results."""

import json
import subprocess
import sys
from pathlib import Path

import cv2

from sideways_tf.runs.config import Config
from sideways_tf.runs.read import AUTOENCODING, FIGURES

ROOT = Path(__file__).resolve().parents[2]


def plot(*flags):
    command = [sys.executable, "tools/plot_errors.py", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def write_run(folder, algorithm, level):
    points = [
        {"stream_frames": n, "error": level / n, "source_error": level / n / 2, "floor": level / 9}
        for n in (64, 128, 256)
    ]
    config = Config(model="autoencoder", dataset="moving_objects", algorithm=algorithm, epochs=5)
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


def test_nothing_to_draw_is_one_line(tmp_path):
    write_run(tmp_path / "bp", "bp", 1.0)
    for flags in (["--dataset=cater"], ["--epochs=7"]):
        done = plot(f"--results_dir={tmp_path}", f"--output={tmp_path / 'a.png'}", *flags)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert "holds no auto-encoding run" in done.stderr

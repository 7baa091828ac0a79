"""tools/late_gradients.py: what motion alone does to pseudo-gradients."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import sideways_tf as sw
from sideways_tf.networks.autoencoder import autoencoder, pixel_error

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("late", ROOT / "tools" / "late_gradients.py")
late = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(late)


def made(algorithm):
    model = sw.SidewaysModel(autoencoder(), algorithm=algorithm, update_every=1)
    model.compile(lambda: tf.keras.optimizers.legacy.SGD(0.1), pixel_error)
    model.build([2, 16, 8, 8, 3])
    return model


def rows(clips):
    """Module -> |true|, |pseudo|, cosine of the means, mean cosine; of `clips`, two batches."""
    tf.keras.utils.set_random_seed(1)
    model, exact = made("sideways"), made("bp")
    for mine, trained in zip(exact.modules, model.modules, strict=True):
        mine.layer.set_weights(trained.layer.get_weights())
    pairs = [late.gradients(model, exact, batch) for batch in clips]
    return [[float(cell) for cell in row[1:]] for row in late.table(pairs).rows]


def test_module_d_is_exact_and_of_still_clips_all_are():
    clips = tf.random.stateless_uniform([2, 2, 16, 8, 8, 3], seed=[1, 2])
    moving = rows(clips)
    assert len(moving) == 6
    true, pseudo, *cosines = moving[5]
    assert true == pytest.approx(pseudo, rel=0.01)  # Printed with three digits.
    assert true > 0
    assert cosines == [1, 1]
    assert moving[0][3] < 0.95  # Frames of noise have their mean in common.
    still = rows([late.still(batch) for batch in clips])
    assert all(row[2:] == [1, 1] for row in still)


def test_the_means_are_over_batches():
    one, other = [[np.array([1.0, 0.0])]], [[np.array([0.0, 1.0])]]
    (row,) = late.table([(one, one), (other, one)]).rows
    # The mean pseudo-gradient is (1/2, 1/2), at 45 degrees from (1, 0); the cosines are 1 and 0.
    assert row == ["1", "1", "0.707", "0.71", "0.50"]


def test_a_run_that_shows_no_current_frames_is_refused_in_one_line(tmp_path):
    (tmp_path / "flags.cfg").write_text("--model=autoencoder\n--algorithm=bp\n")
    done = subprocess.run(
        [sys.executable, "tools/late_gradients.py", f"--workdir={tmp_path}"],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: --workdir={tmp_path} is no run of Sideways")

"""tools/late_parts.py: lateness in its two parts, held to the engines where it is their case."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import sideways_tf as sw
from sideways_tf.networks.autoencoder import autoencoder, pixel_error
from tests.data.conftest import write_video

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("late_parts", ROOT / "tools" / "late_parts.py")
parts = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(parts)
FRAMES = 13  # Three updates of module 1, the first at step 11.
DEPTH = 6


@pytest.fixture(autouse=True)
def float64():
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx("float32")


def clip(seed=1, still=False):
    """float64 [B, K, 8, 8, 3], of two examples."""
    drawn = tf.random.stateless_uniform([2, FRAMES, 8, 8, 3], seed=[seed, 2], dtype="float64")
    return tf.repeat(drawn[:, :1], FRAMES, axis=1) if still else drawn


def made(algorithm="sideways", every=1, rate=0.1, optimizer=tf.keras.optimizers.legacy.SGD):
    tf.keras.utils.set_random_seed(1)
    model = sw.SidewaysModel(autoencoder(), algorithm=algorithm, update_every=every)
    model.compile(lambda: optimizer(rate), pixel_error)
    model.build([2, FRAMES, 8, 8, 3])
    model.optimizers.make(model.modules)
    return model


def learnt(clips, *, weights, motion, **of):
    """The model after `clips`, one after the other."""
    model = made(**of)
    learner = parts.LEARNERS[weights](model, motion)
    for each in clips:
        learner.learn(tf.experimental.numpy.swapaxes(each, 0, 1))
    return model


def moved(model, start):
    """Of each module, all numbers by which it moved, one after the other."""
    pairs = zip(model.modules, start.modules, strict=True)
    both = [zip(a.layer.get_weights(), b.layer.get_weights(), strict=True) for a, b in pairs]
    return [np.concatenate([(x - y).ravel() for x, y in pair]) for pair in both]


def close(left, right, tolerance):
    """The largest difference within each module, over its largest number."""
    for one, other in zip(left, right, strict=True):
        assert np.abs(other).max() > 0
        assert np.abs(one - other).max() <= tolerance * np.abs(other).max()


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_both_parts_are_sideways(optimizer):
    rule = getattr(tf.keras.optimizers.legacy, optimizer)
    rate = {"SGD": 0.1, "Adam": 1e-3}[optimizer]
    clips, engine = [clip(1), clip(2)], made(rate=rate, optimizer=rule)
    for each in clips:
        engine.train_on_batch(each, each)
    mine = learnt(clips, weights=True, motion=True, rate=rate, optimizer=rule)
    start = made()
    close(moved(mine, start), moved(engine, start), 1e-9)
    assert int(mine.steps) == int(engine.steps) == 2 * FRAMES


def test_still_weights_and_motion_are_an_episode_of_pseudo_gradients():
    """At a tiny rate weights stand still in Sideways, too, and all updates add up."""
    rate, batch, start = 1e-3, clip(), made()
    mine = moved(learnt([batch], weights=False, motion=True, rate=rate), start)
    episode = start.pseudo_gradients(batch, batch)
    assert int(np.size(mine[0])) == 864  # 3 x 3 x 3 x 32.
    for i, (number, module) in enumerate(zip(mine, episode.pseudo_gradients, strict=True), 1):
        gamma = FRAMES - 2 * DEPTH + i + 1
        flat = np.concatenate([np.ravel(g) for g in module])
        assert cosine(number, -flat) > 0.9999
        assert np.linalg.norm(number) == pytest.approx(
            rate * gamma * np.linalg.norm(flat), rel=0.01
        )


def test_no_part_is_the_exact_gradient_of_each_loss():
    rate, batch, start, late = 1e-3, clip(), made("bp", every=0), DEPTH - 1
    mine = moved(learnt([batch], weights=False, motion=False, rate=rate), start)
    # Module D learns from all losses, module 1 from the first three alone.
    for i, count in ((DEPTH, FRAMES - late), (1, 3)):
        episode = start.pseudo_gradients(batch[:, :count], batch[:, late : late + count])
        flat = np.concatenate([np.ravel(g) for g in episode.pseudo_gradients[i - 1]])
        assert cosine(mine[i - 1], -flat) > 0.9999
        assert np.linalg.norm(mine[i - 1]) == pytest.approx(
            rate * count * np.linalg.norm(flat), rel=0.01
        )


@pytest.mark.parametrize("weights", [True, False])
def test_where_nothing_moves_motion_changes_nothing(weights):
    batch, start = clip(still=True), made()
    without = moved(learnt([batch], weights=weights, motion=False), start)
    close(moved(learnt([batch], weights=weights, motion=True), start), without, 1e-9)


def test_each_part_changes_what_is_learnt():
    batch, start = clip(), made()
    found = [
        moved(learnt([batch], weights=weights, motion=motion, rate=1.0), start)
        for weights in (True, False)
        for motion in (True, False)
    ]
    for n, one in enumerate(found):
        for other in found[:n]:
            assert np.abs(one[0] - other[0]).max() > 0.01 * np.abs(other[0]).max()


def cosine(left, right):
    return left @ right / np.linalg.norm(left) / np.linalg.norm(right)


def test_with_both_parts_it_prints_the_errors_of_a_run_of_sideways(tmp_path):
    for number, part in enumerate(("train", "test")):
        write_video(tmp_path / "in" / part / "a" / "1.avi", number, 16)
    flags = [
        "--model=autoencoder", "--dataset=folder", f"--data_dir={tmp_path}/in", "--size=8",
        f"--cache_dir={tmp_path}/cache", "--frames=12", "--batch_size=1", "--epochs=4",
        "--evaluate_every=2", "--warmup_epochs=1", "--learning_rate=1e-3",
        "--delay_rates=inverse", "--beta_1=0.5",
    ]  # fmt: skip
    run(["-m", "sideways_tf.train", f"--workdir={tmp_path}/run", *flags])
    curve = json.loads((tmp_path / "run" / "results.json").read_text())["test_curve"]
    said = run(["tools/late_parts.py", *flags])
    lines = [line for line in said.splitlines() if line.startswith("| ")][1:]
    rows = [[float(cell) for cell in line.strip("| ").split("|")] for line in lines]
    assert [row[0] for row in rows] == [point["stream_frames"] for point in curve] == [24, 48]
    for row, point in zip(rows, curve, strict=True):
        # Printed with five digits behind the point, of float32 that other kernels have added up.
        assert row[1:] == pytest.approx([point["error"], point["source_error"]], abs=2e-5)
    assert rows[0][1] != rows[1][1]


def run(words):
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--parts=speed"], "error: --parts=speed: give one or more of motion, weights, or none"),
        (
            ["--algorithm=bp"],
            "error: --algorithm=bp: only a stream of Sideways in float32, whose weights",
        ),
        (
            ["--update_every=2"],
            "error: --update_every=2: only a stream of Sideways in float32, whose weights",
        ),
        (["--model=vgg8"], "error: --model=vgg8: only a stream of Sideways in float32, whose"),
        (["--precision=mixed_float16"], "error: --precision=mixed_float16: only a stream of"),
        (["--target=source"], "error: --target=source: of current frames alone"),
    ],
)
def test_what_it_does_not_train_is_refused_in_one_line(flags, said):
    done = subprocess.run(
        [sys.executable, "tools/late_parts.py", "--model=autoencoder", *flags],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(said)

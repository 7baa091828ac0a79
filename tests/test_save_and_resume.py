"""`SaveAndResume`: the running average of the loss over a stop, and what a kill leaves."""

import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

import sideways_tf as sw


def model():
    tf.keras.utils.set_random_seed(1)
    layers = [tf.keras.layers.Dense(3, "tanh"), tf.keras.layers.Dense(2)]
    made = sw.SidewaysModel(layers, seed=0)
    made.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    made.build([2, 5, 4])
    return made


def test_mean_loss_is_a_running_average_over_the_window_and_survives_a_stop(tmp_path):
    """m += (loss - m) / min(n, 2): the mean of two, then half the old and half the new."""
    clips = np.random.default_rng(0).random([8, 5, 4]).astype(np.float32)
    losses, wanted = [], 0.0
    for stop in (2, 4):  # two batches, a stop, two more
        trained, saved = model(), sw.SaveAndResume(tmp_path, window=2)
        saved.set_model(trained)
        done = saved.restore()
        assert float(saved.mean_loss) == pytest.approx(wanted, rel=1e-6)
        for n in range(done, stop):
            batch = clips[2 * n : 2 * n + 2]
            trained.fit(batch, np.array([0, 1]), batch_size=2, verbose=0, callbacks=[saved])
            losses.append(float(trained.monitor.loss))
            wanted += (losses[-1] - wanted) / min(n + 1, 2)
            assert float(saved.mean_loss) == pytest.approx(wanted, rel=1e-6)
        saved.save()
    assert len(set(losses)) == 4


SAVES = """
import sys, tensorflow as tf
saved = tf.train.Checkpoint(big=tf.Variable(tf.zeros([30_000_000])))
manager = tf.train.CheckpointManager(saved, sys.argv[1], 2)
for number in range(1, 1000):
    manager.save(number)
    print(number, flush=True)
"""


def test_what_a_kill_in_the_middle_of_a_save_leaves_is_removed_at_the_next_start(tmp_path):
    """Whatever TensorFlow calls it: all but the list and whole checkpoints."""
    folder = tmp_path / "checkpoints"
    process = subprocess.Popen(
        [sys.executable, "-c", SAVES, folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    process.stdout.readline()

    def unfinished():
        whole = {path.stem for path in folder.glob("ckpt-*.index")}
        kept = ("index", "data-00000-of-00001")
        names = {f"{stem}.{kind}" for stem in whole for kind in kept} | {"checkpoint"}
        return {path.name for path in folder.iterdir()} - names

    while not unfinished():
        time.sleep(0.001)
    process.kill()
    process.wait()
    process.stdout.close()
    (folder / "checkpoint.tmp7e65f576cbae4b8998a1afc0b85a7cba").touch()
    (folder / "ckpt-99.data-00000-of-00001").touch()
    assert len(unfinished()) >= 2
    whole = {path.name for path in folder.glob("ckpt-*.index")}
    sw.SaveAndResume(folder).set_model(model())
    assert not unfinished()
    assert {path.name for path in folder.glob("ckpt-*.index")} == whole

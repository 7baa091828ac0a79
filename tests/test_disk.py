"""A full disk: one line, and the last good checkpoint stays."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import sideways_tf as sw
from sideways_tf.disk import full_disk_in_one_line
from sideways_tf.runs.rows import Rows
from sideways_tf.whole_file import write_whole

FULL = Path("/dev/full")  # Every write to it ends as on a full disk.


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        tf.errors.ResourceExhaustedError(None, None, "a/b; No space left on device"),
    ],
)
def test_however_it_is_said_it_becomes_one_line(error):
    with (
        pytest.raises(sw.UserError, match="^run: no space left on this disk; make room$"),
        full_disk_in_one_line(Path("run"), "make room"),
    ):
        raise error


def test_another_error_stays_what_it_is():
    with pytest.raises(PermissionError), full_disk_in_one_line(Path("run"), "make room"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    def full(self, text, **_):
        self.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space left"):
            write_whole(tmp_path / "results.json", "{}")
    assert list(tmp_path.iterdir()) == []


def test_rows_go_on_behind_a_full_disk(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.symlink_to(FULL)
    with pytest.raises(OSError, match="No space left"):
        Rows(path).add("train", 1, {})
    path.unlink()
    again = Rows(path)
    again.go_on_from(0)
    assert again.add("train", 1, {})


def test_a_model_that_does_not_fit_is_not_there_and_the_one_before_is(tmp_path, monkeypatch):
    model = sw.SidewaysModel([tf.keras.layers.Dense(3), tf.keras.layers.Dense(2)], seed=0)
    model.compile("sgd", "mse")
    model.build([2, 5, 4])
    model.save(tmp_path / "a.keras")
    model.export(str(tmp_path / "b.keras"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(before) == ["a.keras", "b.keras"]

    def full(self, path, **_):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tf.keras.Model, "save", full)
    for write in (model.save, model.export):
        for name in ("a.keras", "b.keras", "c.keras"):
            with pytest.raises(sw.UserError, match=f"no space left .*{name} is not written"):
                write(str(tmp_path / name))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_checkpoint_that_did_not_fit_is_removed_and_the_one_before_is_whole(
    tmp_path, monkeypatch
):
    model = sw.SidewaysModel([tf.keras.layers.Dense(3), tf.keras.layers.Dense(2)], seed=0)
    model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    clips = np.ones([2, 5, 4], np.float32)
    saved = sw.SaveAndResume(tmp_path)
    model.fit(clips, np.array([0, 1]), verbose=0, callbacks=[saved])
    saved.save()

    def full(checkpoint_number):
        (tmp_path / f"ckpt-{checkpoint_number}_temp").mkdir()
        (tmp_path / f"ckpt-{checkpoint_number}_temp/part-00000").write_bytes(b"half")
        (tmp_path / f"ckpt-{checkpoint_number}.index").write_bytes(b"half")
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(saved._manager, "save", full)
    model.fit(clips, np.array([0, 1]), verbose=0, callbacks=[saved])
    with pytest.raises(tf.errors.ResourceExhaustedError):
        saved.save()
    assert sorted(path.name.split(".")[0] for path in tmp_path.iterdir()) == [
        "checkpoint", "ckpt-1", "ckpt-1"
    ]  # fmt: skip
    assert saved.restore() == 1

"""The screen at the start of a run: its numbers by hand."""

import types

from sideways_tf.runs import make, opening
from sideways_tf.runs.config import Config

CONFIG = Config(
    frames=11, size=16, resize=24, batch_size=2, epochs=3, drop_epochs=(2, 200), warmup_epochs=1.0
)
DATA = types.SimpleNamespace(
    name="folder", num_train=10, num_test=4, frames=1234, class_names=["a", "b", "c"]
)


def test_modules_data_and_recipe():
    model = make.make_model(CONFIG, DATA)
    facts = opening.facts(CONFIG, DATA, model, total=15)
    rows = facts["modules"]
    assert [row["parameters"] for row in rows] == [
        3 * 3 * 3 * 32, 9 * 32 * 64, 9 * 64 * 64, 9 * 64 * 128, 9 * 128 * 256, 256 * 3 + 3
    ]  # fmt: skip
    assert [row["output"] for row in rows][::5] == [[2, 8, 8, 32], [2, 3]]
    # Multiply-adds of one frame of 16x16: places x taps x channels in x channels out.
    by_hand = [
        64 * 9 * 3 * 32, 64 * 9 * 32 * 64, 16 * 9 * 64 * 64, 16 * 9 * 64 * 128, 4 * 9 * 128 * 256
    ]  # fmt: skip
    for row, operations in zip(rows, by_hand, strict=False):
        # Beside them ReLU and the pooling, a thousandth of it.
        assert abs(row["work"] - operations / sum(by_hand)) < 0.01
    text = opening.screen(CONFIG, facts, "runs/a")
    assert "folder: 10 training videos, 4 test videos, 3 classes, 1,234 frames in all" in text
    assert "simple_cnn, 6 modules, 425,571 parameters" in text
    assert (
        "3 epochs, 15 iterations, adam, rate 0.0001, warm-up of 1 epoch, a tenth from epoch 2 on, "
        "seed 0"
    ) in text
    assert text.splitlines()[-2] == "workdir  runs/a"
    assert max(map(len, text.splitlines())) < 120


def test_an_autoencoder_has_no_word_of_classes():
    config = Config(model="autoencoder", frames=11, size=16, batch_size=1)
    facts = opening.facts(config, DATA, make.make_model(config, DATA), total=15)
    text = opening.screen(config, facts, "runs/a")
    assert "auto-encoding by sideways" in text
    assert "an update every 1 computation steps" in text
    assert "class" not in text
    assert "accuracy" not in text

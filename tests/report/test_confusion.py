"""Which class is taken for which, and the first five, by hand."""

import csv

import cv2
import numpy as np
import tensorflow as tf

from sideways_tf.report.accuracy import measure_accuracy
from sideways_tf.report.confusion import matrix, write_confusion

NAMES = ["läuft", "springt", "fällt", "сидит", "f", "g"]


def report():
    """Five videos of one frame each, whose logits are the frame's numbers."""
    rows = [  # label, logits
        (0, [9, 0, 0, 0, 0, 0]),
        (0, [1, 9, 0, 0, 0, 0]),
        (1, [0, 9, 0, 0, 0, 0]),
        (3, [5, 4, 3, -9, 2, 1]),  # its own class is the last of six
        (4, [5, 4, 3, 2, 1, 0]),  # its own class is the fifth
    ]
    pieces = [
        (tf.constant([logits], tf.float32), tf.constant(label), tf.constant("v"), True)
        for label, logits in rows
    ]
    return measure_accuracy(lambda frames: frames, pieces, len(rows))


def test_rows_are_the_true_class_and_columns_the_choice():
    found = report()
    expected = np.zeros([6, 6], int)
    expected[0, 0] = expected[0, 1] = expected[1, 1] = expected[3, 0] = expected[4, 0] = 1
    np.testing.assert_array_equal(matrix(found, 6), expected)
    assert found.video == 2 / 5
    assert found.top == 4 / 5
    assert "80.0% of videos have their class among the first 5" in found.table(NAMES)
    assert found.as_dict(NAMES)["video_top5_accuracy"] == 4 / 5


def test_of_five_classes_there_is_no_top_five():
    pieces = [(tf.zeros([1, 5]), tf.constant(0), tf.constant("v"), True)]
    found = measure_accuracy(lambda frames: frames, pieces, 1)
    assert found.top is None
    assert "first 5" not in found.table(list("abcde"))
    assert "video_top5_accuracy" not in found.as_dict(list("abcde"))


def test_a_table_of_all_classes_and_a_picture(tmp_path):
    table, picture = write_confusion(report(), NAMES, tmp_path / "new" / "confusion")
    rows = list(csv.reader(table.open(encoding="utf-8")))
    assert rows[0] == ["true class", *NAMES]
    assert rows[1] == ["läuft", "1", "1", "0", "0", "0", "0"]
    assert len(rows) == 7
    image = cv2.imread(str(picture))
    assert image.min() < 120
    assert min(image.shape[:2]) > 200

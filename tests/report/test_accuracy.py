"""The class of a whole video, by hand."""

import tensorflow as tf

from sideways_tf.report.accuracy import _Video


def test_a_video_is_judged_by_its_mean_probabilities_not_its_mean_logits():
    """One loud frame for class 0, two sure ones for class 1: logits 10 : 6, shares 1.1 : 1.9."""
    video, label = _Video(), tf.constant(1)
    video.take(tf.constant([[10.0, 0.0], [0.0, 3.0]]), label)
    video.take(tf.constant([[0.0, 3.0]]), label)
    assert int(video.choice()) == 1

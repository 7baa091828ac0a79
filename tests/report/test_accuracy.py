"""The class of a whole video, by hand."""

import numpy as np
import pytest
import tensorflow as tf

from sideways_tf.report.accuracy import Accuracy, _Video


def test_a_video_is_judged_by_its_mean_probabilities_not_its_mean_logits():
    """One loud frame for class 0, two sure ones for class 1: logits 10 : 6, shares 1.1 : 1.9."""
    video, label = _Video(), tf.constant(1)
    video.take(tf.constant([[10.0, 0.0], [0.0, 3.0]]), label)
    video.take(tf.constant([[0.0, 3.0]]), label)
    assert int(video.choice()) == 1


def test_loss_by_frame_and_then_by_video_and_shares_by_hand():
    """Logits of even odds: log 2 nats a frame, however many; frames and videos count apart."""
    video, label = _Video(), tf.constant(0)
    for frames in (2, 1):
        video.take(tf.zeros([frames, 2]), label)
    count, right, loss = video.figures()
    assert (count, right) == (3, 3)
    assert loss == pytest.approx(np.log(2))
    both = Accuracy()
    both.add(0, 0, 3, 3, 0.5)
    both.add(1, 0, 1, 0, 1.5)
    assert (both.video, both.frame, both.loss) == (1 / 2, 3 / 4, 1.0)

"""Class names above pictures, whatever their letters."""

import numpy as np

from sideways_tf.report.caption import caption


def test_letters_of_many_languages_are_drawn_each_by_its_own_sign():
    """A font without them would draw one box, or one question mark, for all."""
    letters = "äłюΩžñ"
    signs = {caption(letter, 16).tobytes() for letter in letters}
    assert len(signs) == len(letters)
    picture = caption("läuft", 64)
    assert (picture.shape, picture.dtype) == ((16, 64, 3), np.uint8)
    assert picture.min() < 50
    assert (caption("", 64) == 255).all()

"""Words above pictures, in a font that has the letters of most languages."""

from __future__ import annotations

import functools

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont  # matplotlib brings it

HEIGHT = 16  # pixels


def caption(text: str, width: int) -> np.ndarray:
    """`text`, black on white, cut at the right: uint8 [16, `width`, 3]."""
    image = Image.new("RGB", (width, HEIGHT), "white")
    ImageDraw.Draw(image).text((2, 1), text, "black", _font())
    return np.asarray(image)


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    # matplotlib's own copy: Latin, Greek, Cyrillic, Arabic and more.
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 11)

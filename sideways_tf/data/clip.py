"""How a clip is cut out of a video: chosen once, then used by training and tests alike."""

from dataclasses import dataclass

from sideways_tf.data.sampling import PADDINGS
from sideways_tf.errors import UserError


@dataclass(frozen=True)
class Clip:
    """A choice of frames and pixels.

    Attributes:
        frames: K, frames in a clip; whole videos are read without it.
        size: side of the square crop, in pixels.
        stride: every so many-th frame is kept; see `sampling.clip_indices`.
        padding: what follows the end of a short video: `torus` or `repeat_last`.

    Raises:
        UserError: a number below 1, or another padding.
    """

    frames: int
    size: int
    stride: int = 1
    padding: str = "torus"

    def __post_init__(self) -> None:
        check_positive(frames=self.frames, size=self.size, stride=self.stride)
        if self.padding not in PADDINGS:
            raise UserError(f"padding={self.padding}: give one of {', '.join(PADDINGS)}")


def check_positive(**numbers: int) -> None:
    """Raises a UserError for the first of `numbers` that is below 1, by its name."""
    for name, number in numbers.items():
        if number < 1:
            raise UserError(f"{name}={number}: give a whole number from 1")

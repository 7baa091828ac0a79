"""How long an episode and how large a frame have to be; without TensorFlow, which takes seconds."""

from __future__ import annotations

from sideways_tf.errors import UserError

# D of the networks of the paper.
DEPTHS = {
    "simple_cnn": 6, "simple_cnn_norm": 6, "simple_cnn_skip": 6, "vgg8": 8, "vgg8_skip": 8,
    "autoencoder": 6,
}  # fmt: skip
# A side that every stride of the auto-encoder divides comes back as it was.
SIDE_UNIT = 8


def cycle_length(depth: int) -> int:
    """Computation steps from a frame's entry to its last weight gradient: 2D - 1 (section 3.2)."""
    return 2 * depth - 1


def check_episode(depth: int, steps: int) -> None:
    """Refuse an episode that ends before the first gradient reaches module 1.

    Raises:
      UserError: if `steps` < 2 `depth` - 1.
    """
    if steps < cycle_length(depth):
        raise UserError(
            f"{steps} frames are too few for {depth} modules: module 1 would never be trained; "
            f"use at least 2 * {depth} - 1 = {cycle_length(depth)} frames, or fewer modules"
        )


def check_size(size: int) -> None:
    """Refuse frames that the auto-encoder would not give back at their size.

    Raises:
      UserError: naming the nearest sizes that work.
    """
    if size % SIDE_UNIT:
        below = size - size % SIDE_UNIT
        near = " or ".join(str(n) for n in (below, below + SIDE_UNIT) if n)
        raise UserError(
            f"--size={size}: the decoder would give back frames of {below + SIDE_UNIT} pixels; "
            f"sizes that work are the multiples of {SIDE_UNIT}, such as {near}"
        )

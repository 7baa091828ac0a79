"""Moving directions: the shapes of `moving_shapes`, and classes that one frame cannot tell."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from sideways_tf.data.listing import Listing, Video
from sideways_tf.data.synthetic.moving_shapes import OUTLINES, bright, fill, soft_background
from sideways_tf.data.video_builder import VideoBuilder, VideoConfig
from sideways_tf.data.video_files import Decoded, encode

NUM_TRAIN = 640
NUM_TEST = 160
NUM_FRAMES = 48
# Of the height, in a frame.
SPEEDS = (0.01, 0.03)
RADII = (0.2, 0.3)
_SEED = 20200103
# Name -> right and down, in eighths of a turn from east, clockwise as a picture shows it.
DIRECTIONS = (
    "east", "south_east", "south", "south_west", "west", "north_west", "north", "north_east"
)  # fmt: skip


class MovingDirections(VideoBuilder):
    """One shape in each video, which crosses a still background in one of eight directions.

    What leaves the picture comes in again on the other side, so that at every frame each place is
    equally likely in every class; shape, colour, size, speed and background are drawn alike in all
    of them, too. The drawing is a function of the video's number, the frame's and the resolution.
    """

    VERSION: ClassVar = tfds.core.Version("2.0.0")  # 1.0.0 had speeds of 0.05 to 0.09.
    CLASS_NAMES: ClassVar = DIRECTIONS
    BUILDER_CONFIGS: ClassVar = [VideoConfig(split=1)]
    FLIPS: ClassVar = False
    DESCRIPTION: ClassVar = (
        f"Shapes that move in eight directions, {NUM_TRAIN} training and {NUM_TEST} test videos of "
        f"{NUM_FRAMES} frames, drawn on the spot."
    )

    def list_videos(self, source_dir: Path | None) -> Listing:
        del source_dir
        return Listing(_numbered("train", NUM_TRAIN), _numbered("test", NUM_TEST))

    def decode(self, video: Video) -> Decoded:
        height = self.builder_config.shorter_side
        assert height is not None
        return encode(draw_video(video.name, video.label, height), None)


def _numbered(part: str, count: int) -> list[Video]:
    return [Video(f"{part}/{i:03d}", DIRECTIONS[i % len(DIRECTIONS)]) for i in range(count)]


def draw_video(name: str, label: str, height: int) -> Iterator[np.ndarray]:
    """Yields NUM_FRAMES frames, uint8 [height, height, 3] RGB."""
    rng = np.random.default_rng([_SEED, *name.encode()])
    still = soft_background(rng, height, height)
    colour, _ = bright(rng)
    outlines = OUTLINES[str(rng.choice(list(OUTLINES)))]()
    radius = height * rng.uniform(*RADII)
    turned, turn = rng.uniform(0, 2 * np.pi), rng.uniform(-0.02, 0.02)
    start, speed = rng.uniform(0, height, 2), height * rng.uniform(*SPEEDS)
    heading = DIRECTIONS.index(label) * np.pi / 4
    step = speed * np.array([np.cos(heading), np.sin(heading)])
    for frame in range(NUM_FRAMES):
        angle, centre = turned + turn * frame, (start + step * frame) % height
        rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        drawn = [radius * outline @ rotation for outline in outlines]
        mask = np.zeros((height, height, 1), np.float32)
        # The picture has no edge: what leaves it is there again, a height away.
        for across in (-height, 0, height):
            for down in (-height, 0, height):
                place = centre + [across, down]
                if np.all(np.abs(place - height / 2) < height / 2 + radius + 1):
                    mask = np.maximum(mask, fill([place + o for o in drawn], height, height))
        image = still * (1 - mask) + colour * mask
        yield np.clip(np.rint(image), 0, 255).astype(np.uint8)

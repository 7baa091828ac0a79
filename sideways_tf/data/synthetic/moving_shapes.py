"""Moving shapes: a small data set that the package draws itself, so that no download is needed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from sideways_tf.data.listing import Listing, Video
from sideways_tf.data.video_builder import VideoBuilder, VideoConfig
from sideways_tf.data.video_files import Decoded, encode

NUM_TRAIN = 320
NUM_TEST = 80
NUM_FRAMES = 48
_SEED = 20200101
_ASPECT = 1.25  # width / height
_SUBPIXEL_BITS = 4  # OpenCV draws polygons at sixteenths of a pixel


def _polar(radii: list[float]) -> np.ndarray:
    """Corners at equal angles, float64 [n, 2], from their distances to the centre."""
    angles = 2 * np.pi * np.arange(len(radii)) / len(radii)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array(radii)[:, None]


def _box(half_width: float, half_height: float) -> np.ndarray:
    return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [half_width, half_height]


def _cross() -> np.ndarray:
    arm, half = 1.0, 0.3
    quarter = np.array([[half, -arm], [half, -half], [arm, -half]])
    turn = np.array([[0, 1], [-1, 0]])
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])


def _crescent() -> np.ndarray:
    outer = np.linspace(0.9, 2 * np.pi - 0.9, 40)
    inner = np.linspace(2 * np.pi - 1.25, 1.25, 40)
    return np.concatenate(
        [
            np.stack([np.cos(outer), np.sin(outer)], axis=1),
            np.stack([0.45 + np.cos(inner), 0.8 * np.sin(inner)], axis=1),
        ]
    )


# Outlines inside the unit circle. A ring is a disc with a hole, drawn as two outlines.
OUTLINES: dict[str, Callable[[], list[np.ndarray]]] = {
    "bar": lambda: [_box(1.0, 0.25)],
    "crescent": lambda: [_crescent()],
    "cross": lambda: [_cross()],
    "disc": lambda: [_polar([0.85] * 48)],
    "ring": lambda: [_polar([0.95] * 48), _polar([0.55] * 48)],
    "square": lambda: [_box(0.75, 0.75)],
    "star": lambda: [_polar([1.0, 0.42] * 5)],
    "triangle": lambda: [_polar([1.0] * 3)],
}


class MovingShapes(VideoBuilder):
    """Eight shapes, one in each video, that drift and turn over a soft background.

    A single frame tells the class. Colour, size, place, background and motion say nothing about
    it. The drawing is a function of the video's number, the frame's and the resolution alone.
    """

    CLASS_NAMES: ClassVar = tuple(OUTLINES)
    BUILDER_CONFIGS: ClassVar = [VideoConfig(split=1)]
    DESCRIPTION: ClassVar = (
        f"Eight moving shapes, {NUM_TRAIN} training and {NUM_TEST} test videos of {NUM_FRAMES} "
        "frames, drawn on the spot."
    )

    def list_videos(self, source_dir: Path | None) -> Listing:
        del source_dir
        return Listing(numbered("train", NUM_TRAIN), numbered("test", NUM_TEST))

    def decode(self, video: Video) -> Decoded:
        height = self.builder_config.shorter_side
        assert height is not None
        return encode(draw_video(video.name, video.label, height), None)


def numbered(part: str, count: int) -> list[Video]:
    """The first `count` videos of a part, train or test, their classes in turn."""
    labels = MovingShapes.CLASS_NAMES
    return [Video(f"{part}/{i:03d}", labels[i % len(labels)]) for i in range(count)]


def draw_video(
    name: str, label: str, height: int, frames: int = NUM_FRAMES
) -> Iterator[np.ndarray]:
    """Yields `frames` frames, uint8 [height, 1.25 height, 3] RGB."""
    rng = np.random.default_rng([_SEED, *name.encode()])
    width = round(height * _ASPECT)
    background = soft_background(rng, height, width)
    colour, drift = bright(rng)
    radius = height * rng.uniform(0.25, 0.36)
    angle, turn = rng.uniform(-0.4, 0.4), rng.uniform(-0.01, 0.01)
    # Two slow oscillations about the middle keep the shape inside most crops.
    phase, speed = rng.uniform(0, 2 * np.pi, 2), rng.uniform(0.04, 0.12, 2)
    reach = height * rng.uniform(0.04, 0.12, 2)
    outlines = OUTLINES[label]()
    for frame in range(frames):
        centre = np.array([width, height]) / 2 + reach * np.sin(phase + speed * frame)
        turned = angle + turn * frame
        rotation = np.array([[np.cos(turned), np.sin(turned)], [-np.sin(turned), np.cos(turned)]])
        mask = fill(
            [centre + radius * outline @ rotation for outline in outlines],
            height,
            width,
        )
        shade = colour + drift * np.sin(0.1 * frame + phase[0])
        image = background * (1 - mask) + shade * mask
        yield np.clip(np.rint(image), 0, 255).astype(np.uint8)


def soft_background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Dark soft blotches, float32 [height, width, 3] in [0, 90]."""
    coarse = rng.uniform(10, 50, 3) + rng.uniform(0, 30, (4, 5, 3))
    soft = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    grain = rng.normal(0, 3, (height, width, 1)).astype(np.float32)
    return np.clip(soft + grain, 0, 90)


def bright(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A colour brighter than any background, and how far it drifts; float64 [3] each."""
    return rng.uniform(170, 235, 3), rng.uniform(-20, 20, 3)


def fill(outlines: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """What lies in an odd number of `outlines` (pixels, x and y): float32 [height, width, 1]."""
    mask = np.zeros((height, width), np.uint8)
    corners = [np.rint(outline * 2**_SUBPIXEL_BITS).astype(np.int32) for outline in outlines]
    cv2.fillPoly(mask, corners, (255,), cv2.LINE_AA, _SUBPIXEL_BITS)
    return mask[:, :, None].astype(np.float32) / 255

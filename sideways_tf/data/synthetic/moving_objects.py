"""Moving objects: shaded solids on a table, after CATER, that the package draws itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from sideways_tf.data.cater import UNLABELLED
from sideways_tf.data.listing import Listing, Video
from sideways_tf.data.synthetic.ray_casting import SHAPES, Camera, Solid, rotation, support
from sideways_tf.data.video_builder import VideoBuilder, VideoConfig
from sideways_tf.data.video_files import Decoded, encode

NUM_TRAIN = 96
NUM_TEST = 16
NUM_FRAMES = 80
_SEED = 20200102
_ACTIONS = ("slide", "rotate", "pick_place", "none", "none")
_ACTION_FRAMES = 40  # about as fast as CATER
_TABLE = 1.7  # objects stay in [-_TABLE, _TABLE] x [-_TABLE, _TABLE]
_COLOURS = {  # of CLEVR and CATER, in [0, 1]
    "gray": (0.34, 0.34, 0.34), "red": (0.68, 0.14, 0.14), "blue": (0.16, 0.29, 0.84),
    "green": (0.11, 0.41, 0.08), "brown": (0.51, 0.29, 0.1), "purple": (0.51, 0.15, 0.75),
    "cyan": (0.16, 0.82, 0.82), "yellow": (1.0, 0.93, 0.2), "gold": (0.75, 0.55, 0.1),
}  # fmt: skip


class MovingObjects(VideoBuilder):
    """Spheres, cubes, cylinders and cones that slide, rotate, and are picked up and placed.

    Metal or rubber, three sizes, with shadows, under a light and a camera that differ a little from
    video to video. Without labels, for auto-encoding. The drawing is a function of the video's
    name, the frame's number and the resolution alone.
    """

    CLASS_NAMES: ClassVar = (UNLABELLED,)
    BUILDER_CONFIGS: ClassVar = [VideoConfig(split=1)]
    DESCRIPTION: ClassVar = (
        f"Shaded moving objects, {NUM_TRAIN} training and {NUM_TEST} test videos of {NUM_FRAMES} "
        "frames, drawn on the spot."
    )

    def list_videos(self, source_dir: Path | None) -> Listing:
        del source_dir
        return Listing(_numbered("train", NUM_TRAIN), _numbered("test", NUM_TEST))

    def decode(self, video: Video) -> Decoded:
        height = self.builder_config.shorter_side
        assert height is not None
        return encode(draw_video(video.name, height), None)


def _numbered(part: str, count: int) -> list[Video]:
    return [Video(f"{part}/{i:03d}", UNLABELLED) for i in range(count)]


@dataclass
class Actor:
    """An object and where it is at each frame.

    Attributes:
      shape: a key of `SHAPES`.
      colour: float64 [3] in [0, 1].
      metal: whether it shines.
      size: half its height.
      places: float64 [frames, 3], x and y of its centre, and how high it is lifted.
      turns, tilts: float64 [frames], radians, about the vertical and about a level axis.
    """

    shape: str
    colour: np.ndarray
    metal: bool
    size: float
    places: np.ndarray
    turns: np.ndarray
    tilts: np.ndarray

    def solid(self, frame: int) -> Solid:
        """The object as it stands at `frame`, from 0."""
        turned = rotation(self.turns[frame], self.tilts[frame])
        x, y, lift = self.places[frame]
        centre = np.array([x, y, lift + self.size * support(self.shape, turned)])
        return Solid(self.shape, self.colour, self.metal, self.size, centre, turned)


def draw_video(name: str, height: int, frames: int = NUM_FRAMES) -> Iterator[np.ndarray]:
    """Yields `frames` frames, uint8 [height, 1.25 height, 3] RGB."""
    rng = np.random.default_rng([_SEED, *name.encode()])
    actors = make_actors(rng, frames)
    light = np.array([-1.5, -1.0, 2.6]) + rng.uniform(-0.5, 0.5, 3)
    camera = Camera(np.array([0.0, -6.4, 4.4]) + rng.uniform(-0.3, 0.3, 3), light, height)
    for frame in range(frames):
        yield camera.render([actor.solid(frame) for actor in actors])


def make_actors(rng: np.random.Generator, frames: int) -> list[Actor]:
    """Three to five objects with their motions; no two ever stand in one place."""
    actors: list[Actor] = []
    for _ in range(rng.integers(3, 6)):
        size = float(rng.choice([0.3, 0.42, 0.55]))
        places, turns, tilts = _motion(rng, frames, size, actors)
        actors.append(
            Actor(
                shape=str(rng.choice(SHAPES)),
                colour=np.array(list(_COLOURS.values())[rng.integers(len(_COLOURS))]),
                metal=bool(rng.integers(2)),
                size=size,
                places=places,
                turns=turns,
                tilts=tilts,
            )
        )
    return actors


def _motion(
    rng: np.random.Generator, frames: int, size: float, others: list[Actor]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One action after the other, each for `_ACTION_FRAMES` frames: places, turns, tilts."""
    place, turn, tilt = _free_place(rng, size, others, 0), rng.uniform(0, 2 * np.pi), 0.0
    rows = []
    for start in range(0, frames, _ACTION_FRAMES):
        action = rng.choice(_ACTIONS)
        target, turned, tilted = place, turn, tilt
        if action in ("slide", "pick_place"):
            target = _free_place(rng, size, others, min(start + _ACTION_FRAMES, frames) - 1)
        elif action == "rotate":
            turned, tilted = turn + np.pi / 2, np.pi / 2 - tilt
        for step in range(_ACTION_FRAMES):
            done = (1 - np.cos(np.pi * (step + 1) / _ACTION_FRAMES)) / 2  # starts and ends softly
            x, y = place + done * (target - place)
            lift = 1.2 * np.sin(np.pi * done) if action == "pick_place" else 0.0
            rows.append((x, y, lift, turn + done * (turned - turn), tilt + done * (tilted - tilt)))
        place, turn, tilt = target, turned, tilted
    table = np.array(rows[:frames])
    return table[:, :3], table[:, 3], table[:, 4]


def _free_place(
    rng: np.random.Generator, size: float, others: list[Actor], frame: int
) -> np.ndarray:
    """x and y on the table, away from where `others` are at `frame`; the freest of some draws."""
    draws = rng.uniform(-_TABLE, _TABLE, (20, 2))
    if not others:
        return draws[0]
    taken = np.array([other.places[frame, :2] for other in others])
    room = np.array([other.size for other in others]) + size
    gaps = np.linalg.norm(draws[:, None] - taken[None], axis=-1) - 1.3 * room
    free = gaps.min(axis=1)
    return draws[np.argmax(free > 0)] if (free > 0).any() else draws[np.argmax(free)]

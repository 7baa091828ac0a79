"""Small videos whose pixels say which video and which frame they are."""

import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

# A frame is one flat colour: red tells the frame, green the video. The steps are larger than
# what the video and the JPEG coder may change.
RED_STEP = 8
GREEN_STEP = 12


def write_video(
    path: Path, video: int, frames: int, *, width: int = 48, height: int = 32, fps: int = 25
) -> None:
    """Writes frames of colour (8 * frame + 4, 12 * video + 6, 100) as Motion JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (width, height))
    assert writer.isOpened()
    for frame in range(frames):
        colour = (100, GREEN_STEP * video + 6, RED_STEP * frame + 4)
        writer.write(np.full((height, width, 3), colour, np.uint8))
    writer.release()


def make_video(
    path: Path,
    codec: str = "mpeg4",
    times: tuple[int, ...] = tuple(range(24)),
    turn: int = 0,
    aspect: tuple[int, int] = (1, 1),
    options: dict[str, str] | None = None,
) -> Path:
    """Frames of red 8 n + 4 whose upper left quarter is white in the blue, at `times` / 25 s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 176, 144, "yuv420p"
        stream.bit_rate = 400_000
        stream.sample_aspect_ratio = Fraction(*aspect)
        stream.codec_context.time_base = Fraction(1, 25)
        if turn:
            stream.set_display_rotation(turn)
        noise = np.random.default_rng(0)
        for number, time in enumerate(times):
            pixels = np.full((144, 176, 3), (8 * number + 4, 100, 20), np.uint8)
            pixels[:72, :88, 2] = 230
            pixels[:, :, 1] = noise.integers(90, 110, (144, 176))  # some bytes in every frame
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def frame_numbers(pixels: np.ndarray) -> np.ndarray:
    """Frame number of each frame, from float [..., H, W, 3] in [0, 1]."""
    return np.floor(pixels[..., 0].mean(axis=(-1, -2)) * 255 / RED_STEP).astype(int)


def video_numbers(pixels: np.ndarray) -> np.ndarray:
    """Video number of each frame, from float [..., H, W, 3] in [0, 1]."""
    return np.floor(pixels[..., 1].mean(axis=(-1, -2)) * 255 / GREEN_STEP).astype(int)


@pytest.fixture(scope="session")
def ucf_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UCF101's official layout with 14 train and 6 test videos of three classes, CRLF lists."""
    root = tmp_path_factory.mktemp("ucf")
    classes = ("YoYo", "Archery", "HandstandPushups")
    train: list[str] = []
    test: list[str] = []
    for video in range(20):
        label = classes[video % 3]
        stem = label.replace("Handstand", "HandStand")
        name = f"{label}/v_{stem}_g{video + 1:02d}_c01.avi"
        write_video(root / "UCF-101" / name, video, frames=6 + video)
        (train if video < 14 else test).append(name)
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    numbers = {"YoYo": 101, "Archery": 3, "HandstandPushups": 37}
    for split in (1, 2, 3):
        rows = [f"{name} {numbers[name.split('/')[0]]}\r\n" for name in train]
        (lists / f"trainlist{split:02d}.txt").write_text("".join(rows), newline="")
        (lists / f"testlist{split:02d}.txt").write_text("\r\n".join(test) + "\r\n", newline="")
    return root


@pytest.fixture
def real_data() -> Path:
    """Where the real data sets lie."""
    if "SIDEWAYS_REAL_DATA" not in os.environ:
        pytest.skip("SIDEWAYS_REAL_DATA is not set: needs the real videos")
    return Path(os.environ["SIDEWAYS_REAL_DATA"])

"""A long stream: does memory stay flat, do files stay open, does the frames' clock drift?

    sideways bench soak                      (10 minutes at 50 frames a second)
    sideways bench soak --seconds=3600

Draws a short video, runs `sideways stream` on it again and again with everything that it can write
(checkpoints once a minute, TensorBoard, --output), and looks at its process from outside, by
/proc. Prints a line now and then, and one at the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from sideways_tf.errors import UserError
from sideways_tf.runs import options

FLAGS, define = options.new_flags()
define("seconds", 600.0, "how long the stream is", low=5.0)
define("fps", 50.0, "frames per second", low=1.0)
define("size", 48, "height and width of the frames, in pixels", low=8)
define("algorithm", "sideways", "training algorithm", choices=("sideways", "bp"))
define("every", 10.0, "seconds from one look to the next", low=0.5)
define("output_dir", "", "where soak.json goes; empty: nowhere")

_VIDEO_SECONDS = 10
_WARM = 0.2  # share of the time that is left out of the slope: caches and pools fill


class Look(NamedTuple):
    """At the process: seconds since its start, resident memory in MiB, open files, threads."""

    seconds: float
    memory: float
    files: int
    threads: int


def main() -> None:
    """Print what was seen."""
    if not Path("/proc/self/status").exists():
        raise UserError("there is no /proc here, by which the process is looked at: use Linux")
    with tempfile.TemporaryDirectory() as folder:
        video, workdir = draw(Path(folder) / "drawn.avi"), Path(folder) / "run"
        stream = subprocess.Popen(
            [
                sys.executable, "-m", "sideways_tf.stream", f"--source={video}", "--loop",
                f"--fps={FLAGS.fps}", f"--size={FLAGS.size}", f"--seconds={FLAGS.seconds}",
                f"--algorithm={FLAGS.algorithm}", f"--workdir={workdir}", "--save_seconds=60",
                f"--output={folder}/live.mp4",
            ],
            stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        looks = watch(stream)
        totals = stream.stdout.read() if stream.stdout else ""
        if stream.returncode:
            raise UserError(f"the stream ended with status {stream.returncode}")
        found = summary(looks, json.loads((workdir / "results.json").read_text(encoding="utf-8")))
    print(totals.strip())
    print(
        "memory {memory_first:.0f} MiB at first, {memory_last:.0f} at the end, {slope:+.1f} MiB an "
        "hour; open files {files_first} and {files_last}; frames {frames} of {due:.0f} due, the "
        "last {late_ms:.1f} ms late, the latest {latest_ms:.0f} ms".format(**found)
    )
    if FLAGS.output_dir:
        path = Path(FLAGS.output_dir).expanduser() / "soak.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**found, "looks": looks}, indent=1) + "\n")


def draw(path: Path) -> Path:
    """A square that goes round, at 320x240."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FLAGS.fps, (320, 240))
    count = int(_VIDEO_SECONDS * FLAGS.fps)
    for n in range(count):
        frame = np.full([240, 320, 3], 60, np.uint8)
        angle = 2 * np.pi * n / count
        x, y = int(160 + 70 * np.cos(angle)), int(120 + 70 * np.sin(angle))
        frame[y - 20 : y + 20, x - 20 : x + 20] = 30, 200, 120
        writer.write(frame)
    writer.release()
    return path


def watch(stream: subprocess.Popen) -> list[Look]:
    """Looks at the process until it ends, from its first line on."""
    assert stream.stderr is not None
    looks: list[Look] = []
    started = time.monotonic()
    for line in stream.stderr:  # A line a second.
        now = time.monotonic() - started
        if not looks or now - looks[-1].seconds >= FLAGS.every:
            looks.append(look(stream.pid, now))
            print(f"{looks[-1].memory:7.1f} MiB  {looks[-1].files} files  {line.strip()}",
                  file=sys.stderr, flush=True)  # fmt: skip
    stream.wait()
    return looks


def look(pid: int, seconds: float) -> Look:
    """Now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    words = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Look(seconds, int(words["VmRSS"][0]) / 1024, files, int(words["Threads"][0]))


def summary(looks: list[Look], results: dict) -> dict[str, float]:
    """Memory's slope by least squares, after the warm-up; the drift of the frames' clock."""
    warm = [each for each in looks if each.seconds >= _WARM * looks[-1].seconds]
    slope = np.polyfit([e.seconds for e in warm], [e.memory for e in warm], 1)[0]
    return {
        "memory_first": warm[0].memory,
        "memory_last": warm[-1].memory,
        "slope": float(slope) * 3600,
        "files_first": warm[0].files,
        "files_last": warm[-1].files,
        "threads_last": warm[-1].threads,
        "frames": results["frames"],
        "due": results["seconds"] * FLAGS.fps,
        "late_ms": 1000 * results["late"],
        "latest_ms": 1000 * results["latest"],
        "seconds": results["seconds"],
        "dropped": results["dropped"],
    }

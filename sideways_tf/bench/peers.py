"""Sideways beside everything one would use instead, PyTorch included, in one run.

    sideways bench peers                         Simple-CNN, 8 clips of 32 frames of 112x112
    sideways bench peers --batch_size=1 --frames=64
    sideways bench peers --rivals=ours           without PyTorch

Each rival is a process (or two) of its own, which waits while the others work: they take turns, and
the median of each turn's ratio counts. First of all they have to compute the same: the loss of BP
before and after one update from the same weights, equal to 1e-4. Two cores: one process with two
threads a kernel, or two devices or processes of one. PyTorch is no requirement of this package.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sideways_tf import cli
from sideways_tf.bench.peer import Peer
from sideways_tf.errors import UserError
from sideways_tf.runs import child, options
from sideways_tf.whole_file import write_whole

FLAGS, define = options.new_flags()
define("rivals", "all", "all, ours, or names as in the table, separated by semicolons")
define("batch_size", 8, "B, clips in a batch", low=1)
define("frames", 32, "K, frames of a clip", low=11)
define("size", 112, "height and width of the frames, in pixels", low=16)
define("classes", 101, "of the last module", low=2)
define("threads", 2, "of a kernel, where one process works alone", low=1)
define("torch_channels_last", True, "how PyTorch's one-process and DDP rivals keep activations")
define("turns", 5, "how often each rival is timed", low=1)
define("steps", 1, "training steps of a turn", low=1)
define("output_dir", "peers", "folder of peers.json and peers.md")

TOLERANCE = 1e-4
BASE = "Sideways, pipelined"
OURS = (
    BASE, "Sideways, time-shifted", "BP, batched", "BP, frame by frame",
    "BP, frame by frame, 2 devices", "exact pipelined BP (GPipe)", "data-parallel BP, batched",
    "data-parallel BP, frame by frame", "Sideways, two workers",
    "BP, frame by frame, two workers", "BP, batched, plain Keras",
    "Sideways, pipelined, one device",
)  # fmt: skip
TORCH = (
    "torch batched", "torch frame by frame", "torch ddp batched", "torch ddp frame by frame",
    "torch gpipe", "torch 1f1b", "torch zero bubble", "torch zbv",
)  # fmt: skip
INSTALL = (
    "PyTorch is not installed here: `pip install torch==2.13.0` beside this package, or give "
    "--rivals=ours"
)


class Running:
    """A rival's process."""

    def __init__(self, peer: Peer):
        self.peer = peer
        module = "torch_peer" if peer.name in TORCH else "our_peer"
        self.process = subprocess.Popen(
            **child.command(f"sideways_tf.bench.{module}", [peer.to_json()]), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self.answer = self.read()
        self.turns: list[float] = []

    def read(self) -> dict[str, Any]:
        """Its next answer; {"error": ...} where it has died."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": f"ended with {self.process.wait()}"}

    def turn(self, steps: int) -> None:
        """Run so many steps, and keep the seconds of one."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        answer = self.read()
        if "error" in answer:
            raise UserError(f"{self.peer.name} ended in the middle of the run: {answer['error']}")
        self.turns.append(answer["seconds"] / steps)

    def end(self) -> None:
        """No more turns."""
        # Processes of its own that it has started, too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def main() -> None:
    """Measure, print, write."""
    folder = Path(FLAGS.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    running: list[Running] = []
    with tempfile.TemporaryDirectory() as shared:
        try:
            for name in chosen():
                print(f"starting {name}", file=sys.stderr, flush=True)
                running.append(Running(peer(name, shared)))
            check_losses(running)
            there = [each for each in running if "losses" in each.answer]
            for n in range(FLAGS.turns):
                print(f"turn {n + 1} of {FLAGS.turns}", file=sys.stderr, flush=True)
                for each in there:
                    each.turn(FLAGS.steps)
        finally:
            for each in running:
                each.end()
    page = markdown(running)
    kept = [{"name": r.peer.name, **r.answer, "seconds": r.turns} for r in running]
    write_whole(folder / "peers.json", json.dumps(kept, indent=1) + "\n")
    write_whole(folder / "peers.md", page)
    print(page)


def chosen() -> list[str]:
    """The rivals of --rivals, those left out that the batch does not allow."""
    words = [word.strip() for word in FLAGS.rivals.split(";")]
    names = {"all": [*OURS, *TORCH], "ours": list(OURS)}.get(FLAGS.rivals, words)
    unknown = [name for name in names if name not in (*OURS, *TORCH)]
    if unknown:
        raise UserError(f"--rivals: '{unknown[0]}' is none of {'; '.join((*OURS, *TORCH))}")
    if importlib.util.find_spec("torch") is None and any(name in TORCH for name in names):
        raise UserError(INSTALL)
    odd = FLAGS.batch_size % 2
    return [name for name in names if not (odd and splits_batch(name))]


def splits_batch(name: str) -> bool:
    """Whether two devices or processes share the clips of a batch out."""
    return "data-parallel" in name or "ddp" in name


def peer(name: str, folder: str) -> Peer:
    """The rival `name`; the weights that all start from are made once."""
    made = Peer(
        name, folder, FLAGS.batch_size, FLAGS.frames, FLAGS.size, FLAGS.classes, FLAGS.threads,
        FLAGS.torch_channels_last,
    )  # fmt: skip
    if not (Path(folder) / "weights.npz").exists():
        make_weights(Path(folder))
    return made


def make_weights(folder: Path) -> None:
    """weights.npz: drawn as Keras draws them (Glorot uniform), the bias zero."""
    import numpy as np

    draw, sides = np.random.default_rng(1), [3, 32, 64, 64, 128, 256]
    shapes: list[tuple[int, ...]] = [(3, 3, a, b) for a, b in zip(sides, sides[1:], strict=False)]
    shapes.append((sides[-1], FLAGS.classes))
    weights = []
    for shape in shapes:
        area = int(np.prod(shape[:-2]))
        limit = (6 / (area * (shape[-2] + shape[-1]))) ** 0.5
        weights.append(draw.uniform(-limit, limit, shape).astype(np.float32))
    weights.append(np.zeros([FLAGS.classes], np.float32))
    np.savez(folder / "weights.npz", *weights)


def check_losses(running: list[Running]) -> None:
    """All of BP alike, both engines of Sideways alike.

    Raises:
      UserError: naming two that differ.
    """
    for sideways in (True, False):
        alike = [
            each
            for each in running
            if "losses" in each.answer and each.peer.name.startswith("Sideways") == sideways
        ]
        for each in alike[1:]:
            pairs = zip(each.answer["losses"], alike[0].answer["losses"], strict=True)
            if any(abs(a - b) > TOLERANCE for a, b in pairs):
                raise UserError(
                    f"{each.peer.name} and {alike[0].peer.name} do not compute the same: losses "
                    f"{each.answer['losses']} and {alike[0].answer['losses']}"
                )


def markdown(running: list[Running]) -> str:
    """The page."""
    from sideways_tf.machine import machine_today
    from sideways_tf.report.table import Table

    timed = [each for each in running if each.turns]
    base = next((each for each in timed if each.peer.name == BASE), timed[0])
    lines = []
    for each in sorted(timed, key=lambda each: statistics.median(each.turns)):
        ratios = sorted(a / b for a, b in zip(each.turns, base.turns, strict=True))
        lines.append([
            each.peer.name, f"{statistics.median(each.turns):.3f}", f"{min(each.turns):.3f}",
            f"{statistics.median(ratios):.2f}", f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
        ])  # fmt: skip
    over = f"over {base.peer.name}"
    head = ["", "seconds a step, median", "best", over, "range"]
    failed = [f"- {r.peer.name} did not run: {r.answer['error']}" for r in running if not r.turns]
    if FLAGS.batch_size % 2:
        failed.append(
            f"- No data-parallel BP and no DDP: a batch of {FLAGS.batch_size} cannot be shared out "
            "evenly over two devices."
        )
    losses = next((r.answer["losses"] for r in timed if "Sideways" not in r.peer.name), None)
    parts = [
        "# Rivals",
        f"    {cli.typed()}\n\n{machine_today()}, load {os.getloadavg()[0]:.1f} at the end. "
        f"Simple-CNN, B = {FLAGS.batch_size}, {FLAGS.frames} frames of {FLAGS.size}x"
        f"{FLAGS.size}, plain SGD; {FLAGS.turns} turns of {FLAGS.steps} steps.",
        Table("", head, lines).markdown(),
        f"Fastest here: {lines[0][0]}. Losses of BP before and after one update agree to "
        f"{TOLERANCE:g}: {losses}.",
        *(["\n".join(failed)] if failed else []),
    ]
    return "\n\n".join(parts) + "\n"

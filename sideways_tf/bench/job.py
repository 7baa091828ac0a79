"""What one process measures, and the words for it. No TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from typing import Any


@dataclasses.dataclass(frozen=True)
class Job:
    """One row of the table, measured in a process of its own.

    Attributes:
      model: "simple_cnn" or "vgg8".
      algorithm: "bp" or "sideways"; "profile" measures the modules one by one.
      engine: of this package; "keras", batched BP in plain Keras; or data-parallel BP,
        "mirrored", batched, and "mirrored_frames", frame by frame.
      device_kind: "gpu", "cpu", "workers" or "simulated".
      devices: how many.
      placement: the device of each module, from 0.
      batch, frames, size, classes: B, K, pixels of a frame's side, classes.
      dropout: rate in VGG-8's hidden linear modules.
      steps, repeats: training steps timed at a time, and how often.
      threads: threads of one kernel on a CPU; 0 leaves all threads to TensorFlow.
      times: simulated: seconds (forward, backward) of each slice of each module, what arrives
        over a device's link included.
      shares: of each module (device, output channels) of each slice; empty: whole modules.
      link_gbps: speed of a device's link; 0: sending costs nothing.
      workers: addresses, where device_kind is "workers".
      jit: whether XLA compiles the episode.
      precision: of the layers, a mixed precision policy of Keras.
      network_gbps, per_machine: that to other machines, and the devices of one; 0: one machine.
      trace: folder for a timeline; "" for none.
      purpose: "speed", or "memory": rows that are only there for their memory.
    """

    model: str
    algorithm: str
    engine: str
    device_kind: str
    devices: int
    placement: tuple[int, ...]
    batch: int
    frames: int
    size: int
    classes: int
    dropout: float
    steps: int
    repeats: int
    threads: int
    times: tuple[tuple[tuple[float, float], ...], ...] = ()
    trace: str = ""
    purpose: str = "speed"
    shares: tuple[tuple[tuple[int, int], ...], ...] = ()
    link_gbps: float = 0.0
    network_gbps: float = 0.0
    per_machine: int = 0
    jit: bool = False
    precision: str = "float32"
    workers: str = ""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> Job:
        """The inverse of `to_json`."""
        fields: dict[str, Any] = json.loads(text)
        fields["placement"] = tuple(fields["placement"])
        for name in ("times", "shares"):
            fields[name] = tuple(tuple(map(tuple, slices)) for slices in fields[name])
        return Job(**fields)

    @property
    def wide(self) -> bool:
        """Whether a module is shared out over several devices."""
        return any(len(slices) > 1 for slices in self.shares)

    @property
    def plain(self) -> bool:
        """Whether it is of the paper's arithmetic: not shared out, not compiled, float32."""
        return not (self.wide or self.jit or self.precision != "float32")

    @property
    def name(self) -> str:
        """For a progress bar and for file names."""
        parts = [self.model, self.algorithm, self.engine, f"{self.devices}_{self.device_kind}"]
        parts += [*(["wide"] if self.wide else []), *(["compiled"] if self.jit else [])]
        parts += [*([self.precision] if self.precision != "float32" else [])]
        return "-".join([*parts, *([f"{self.frames}_frames"] if self.purpose == "memory" else [])])


KIND_WORDS = {
    "gpu": "GPUs of this machine",
    "cpu": "logical CPU devices of this machine, which share its cores and one thread pool",
    "workers": "worker processes, `sideways worker`, beside logical CPU devices of this machine",
    "simulated": (
        "simulated accelerators: each is a lock and a clock, the module times are given, and only "
        "the engine and TensorFlow's scheduling are real; no figure here is a speed of hardware"
    ),
}
ENGINE_WORDS = {
    ("bp", "frame_by_frame"): "BP, frame by frame",
    ("bp", "gpipe"): "exact pipelined BP (GPipe)",
    ("bp", "batched"): "BP, batched",
    ("bp", "keras"): "BP, batched, plain Keras",
    ("bp", "mirrored"): "data-parallel BP, batched",
    ("bp", "mirrored_frames"): "data-parallel BP, frame by frame",
    ("sideways", "pipelined"): "Sideways, pipelined",
    ("sideways", "time_shifted"): "Sideways, time-shifted",
}

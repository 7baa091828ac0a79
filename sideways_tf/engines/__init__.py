"""Engines: a clip and its targets in; loss, outputs and the gradient of every variable out."""

from collections.abc import Callable, Sequence

from sideways_tf.engines.backprop import BatchedBackprop, FrameByFrameBackprop
from sideways_tf.engines.engine import Engine, per_frame
from sideways_tf.engines.gpipe import GPipeBackprop
from sideways_tf.engines.passes import Episode, Loss
from sideways_tf.engines.sideways import PipelinedSideways
from sideways_tf.engines.time_shifted import TimeShiftedSideways
from sideways_tf.errors import UserError
from sideways_tf.models.block import SidewaysBlock

__all__ = [
    "BatchedBackprop",
    "Engine",
    "Episode",
    "FrameByFrameBackprop",
    "GPipeBackprop",
    "PipelinedSideways",
    "TimeShiftedSideways",
    "make_engine",
    "per_frame",
]

# (algorithm, engine) -> class. "time_shifted" computes all frames of an episode at once: for BP
# this is plain batched backprop, with a shift of nothing.
ENGINES: dict[tuple[str, str], Callable[..., Engine]] = {
    ("sideways", "pipelined"): PipelinedSideways,
    ("sideways", "time_shifted"): TimeShiftedSideways,
    ("bp", "pipelined"): FrameByFrameBackprop,
    ("bp", "time_shifted"): BatchedBackprop,
    ("bp", "gpipe"): GPipeBackprop,
}


def make_engine(
    algorithm: str, modules: Sequence[SidewaysBlock], loss: Loss, engine: str = "auto"
) -> Engine:
    """The engine called `engine` for `algorithm`.

    Args:
      algorithm: "sideways" or "bp".
      engine: "pipelined" runs every module on its own device (for BP: frame by frame, blocking);
        "time_shifted" computes all frames at once on one device (for BP: batched); "gpipe", only
        for BP, runs modules at once and drains the pipe; "auto" is pipelined where the modules
        have several devices, else time-shifted.
    """
    if engine == "auto":
        engine = "pipelined" if len({module.device for module in modules}) > 1 else "time_shifted"
    if (algorithm, engine) not in ENGINES:
        raise UserError(
            f"--engine={engine} computes exact gradients, --algorithm={algorithm} asks for others: "
            "use --algorithm=bp, or --engine=pipelined"
        )
    return ENGINES[algorithm, engine](modules, loss)

"""Engines: a clip and its targets in; loss, outputs and the pseudo-gradients of all weights out."""

from collections.abc import Callable, Sequence

from sideways_tf.engines.backprop import Blocked, FrameByFrame
from sideways_tf.engines.batched import BatchedBackprop, TimeShiftedSideways
from sideways_tf.engines.engine import Engine, Episode, StepEngine, per_frame
from sideways_tf.engines.gpipe import GPipeBackprop
from sideways_tf.engines.loss_scale import LossScale
from sideways_tf.engines.passes import Loss
from sideways_tf.engines.sideways import Sideways
from sideways_tf.errors import UserError
from sideways_tf.modules.block import SidewaysBlock
from sideways_tf.modules.wiring import Wiring

__all__ = [
    "ENGINES",
    "BatchedBackprop",
    "BlockedBackprop",
    "Engine",
    "Episode",
    "FrameByFrameBackprop",
    "GPipeBackprop",
    "Loss",
    "LossScale",
    "PipelinedSideways",
    "StepEngine",
    "TimeShiftedSideways",
    "make_engine",
    "per_frame",
]


class PipelinedSideways(StepEngine):
    """Sideways as the paper runs it, all modules at once."""

    scheme, needs_cycle, late = Sideways(), True, True


class FrameByFrameBackprop(StepEngine):
    """The paper's BP: every frame blocks all modules for its update cycle; the clip waits."""

    scheme, skips = FrameByFrame(), "aligned"


class BlockedBackprop(StepEngine):
    """BP on a stream that does not wait: it drops the frames that come while it is blocked."""

    scheme, skips = Blocked(), "aligned"
    needs_cycle, late, computes_again = True, True, True


# algorithm -> engine -> class; the first is taken on several devices, the second on one.
ENGINES: dict[str, dict[str, Callable[..., Engine]]] = {
    "sideways": {"pipelined": PipelinedSideways, "time_shifted": TimeShiftedSideways},
    "bp": {
        "frame_by_frame": FrameByFrameBackprop, "batched": BatchedBackprop, "gpipe": GPipeBackprop
    },
}  # fmt: skip
# algorithm -> class for episodes shorter than the clip (L < K), where the pipe goes on.
STREAMS: dict[str, Callable[..., StepEngine]] = {
    "sideways": PipelinedSideways, "bp": BlockedBackprop
}  # fmt: skip


def make_engine(
    algorithm: str,
    modules: Sequence[SidewaysBlock],
    loss: Loss,
    engine: str = "auto",
    *,
    masks: str = "episode",
    stream: bool = False,
    loss_scale: LossScale | None = None,
    wiring: Wiring | None = None,
) -> Engine:
    """The engine called `engine` for `algorithm`.

    Args:
      algorithm: "sideways" or "bp".
      engine: of Sideways "pipelined" (every module on its own device) or "time_shifted" (all frames
        at once on one device); of BP "frame_by_frame", "batched" or "gpipe" (exact, in a pipe that
        is drained); "auto" is the first where the modules have several devices, else the second.
      masks: "episode" or "step"; see `Network`.
      loss_scale: for float16; see `loss_scale.py`.
      stream: whether updates come before the clip ends (L < K): step by step, BP drops frames.
      wiring: which module reads which (`make_wiring`); None: each the one below.

    Raises:
      UserError: naming the engines that there are.
    """
    if algorithm not in ENGINES:
        raise UserError(f"algorithm={algorithm}: give one of {', '.join(ENGINES)}")
    there = ENGINES[algorithm]
    if engine == "auto":
        several = len({name for module in modules for name in module.devices}) > 1
        engine = list(there)[0 if several or stream else 1]
    if engine not in there:
        raise UserError(
            f"engine={engine} is none of algorithm={algorithm}: give auto, {', '.join(there)}"
        )
    _check_engine(engine, list(there)[0], modules, stream)
    if stream and algorithm == "sideways" and wiring and wiring.skips:
        _check_scale(loss_scale)
    kind = STREAMS[algorithm] if stream else there[engine]
    return kind(modules, loss, masks, loss_scale, wiring)


def _check_scale(loss_scale: LossScale | None) -> None:
    """Refuse one that changes where a module sums pseudo-gradients of losses of several ages."""
    if loss_scale is not None and loss_scale.growth:
        raise UserError(
            "float16 with skips and update_every below the frames of a clip: pseudo-gradients that "
            "meet would have different scales; use mixed_bfloat16, update_every=0, or a "
            "LossScaleOptimizer with dynamic=False"
        )


def _check_engine(
    engine: str, by_steps: str, modules: Sequence[SidewaysBlock], stream: bool
) -> None:
    """Refuse an engine that the placement or the updates do not allow; `by_steps` does."""
    used = len({name for module in modules for name in module.devices})
    if used > 1 and engine in ("time_shifted", "batched"):
        raise UserError(
            f"engine={engine} runs on one device, the modules take {used}: give one of devices, or "
            f"engine={by_steps}"
        )
    if engine == "gpipe" and any("/job:worker/" in name for m in modules for name in m.devices):
        raise UserError(
            "engine=gpipe over workers: it gave no result in 80 s, where frame by frame took one; "
            f"give engine={by_steps}, or devices of one machine"
        )
    if stream and engine != by_steps:
        raise UserError(
            f"engine={engine} computes many frames at once, between which updates cannot come: "
            f"leave it out, or give engine={by_steps}, or update_every=0"
        )

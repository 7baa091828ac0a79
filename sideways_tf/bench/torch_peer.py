"""Simple-CNN trained by PyTorch: one rival of `peers.py`, in a process of its own (or several).

Needs torch, which this package does not require; `peers.py` starts this file where it is there. The
kernels are those of TensorFlow's 'same' padding, the loss is the mean over all frames, the update
plain SGD: the same arithmetic as `bp` here.
"""

from __future__ import annotations

import contextlib
import datetime
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from sideways_tf.bench.peer import RATE, Peer, serve
from sideways_tf.runs import child

WORLD = 2
STRIDES = (2, 1, 2, 1, 2)  # Those of networks/simple_cnn.py, which needs TensorFlow.
# Stages of the pipelines: modules 1-3 and 4-6; where each process has two, these four.
TWO, FOUR = (range(3), range(3, 6)), (range(2), range(2, 3), range(3, 4), range(4, 6))


class Same(nn.Module):
    """TensorFlow's 'same' 3x3 convolution: an even side is padded at its end for stride 2."""

    def __init__(self, kernel: np.ndarray, stride: int):
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride == 1:
            return torch.relu(nn.functional.conv2d(x, self.weight, padding=1))
        pads = [n for side in (x.shape[3], x.shape[2]) for n in same_pads(side, self.stride)]
        return torch.relu(nn.functional.conv2d(nn.functional.pad(x, pads), self.weight, None, 2))


def same_pads(side: int, stride: int) -> tuple[int, int]:
    """Before and after, of a 3x3 kernel."""
    total = max((-(-side // stride) - 1) * stride + 3 - side, 0)
    return total // 2, total - total // 2


class Linear(nn.Module):
    """The mean over all pixels, and the classifier."""

    def __init__(self, kernel: np.ndarray, bias: np.ndarray):
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(kernel.T.copy()))
        self.bias = nn.Parameter(torch.from_numpy(bias.copy()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x.mean((2, 3)), self.weight, self.bias)


def modules_of(peer: Peer) -> list[nn.Module]:
    """Simple-CNN's six modules, with the weights that all rivals start from."""
    weights = peer.weights()
    convolutions = [Same(kernel, stride) for kernel, stride in zip(weights, STRIDES, strict=False)]
    return [*convolutions, Linear(*weights[-2:])]


def data_of(peer: Peer, rank: int = 0, world: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """This process's share of the clips, [K, B, 3, H, W], and of the labels, [B]."""
    clip, labels = peer.data()
    mine = slice(rank * len(labels) // world, (rank + 1) * len(labels) // world)
    frames = torch.from_numpy(clip[:, mine]).permute(0, 1, 4, 2, 3)
    return frames, torch.from_numpy(labels[mine].astype(np.int64))


def folded(clip: torch.Tensor, layout: torch.memory_format) -> torch.Tensor:
    """[K, B, 3, H, W] -> [K * B, 3, H, W]."""
    return clip.reshape(-1, *clip.shape[2:]).contiguous(memory_format=layout)


def plain_step(peer: Peer, rank: int, world: int) -> Callable[[], float]:
    """One process, or one of several whose gradients are averaged (DDP)."""
    torch.set_num_threads(peer.threads if world == 1 else 1)
    layout = torch.channels_last if peer.channels_last else torch.contiguous_format
    net: Any = nn.Sequential(*modules_of(peer)).to(memory_format=layout)
    if world > 1:
        net = nn.parallel.DistributedDataParallel(net)
    clip, labels = data_of(peer, rank, world)
    optimizer = torch.optim.SGD(net.parameters(), RATE)
    count = 1 if peer.name.endswith("batched") else peer.frames
    parts = [folded(part, layout) for part in clip.chunk(count)]
    targets = labels.repeat(peer.frames // count)

    def step() -> float:
        optimizer.zero_grad()
        total = 0.0
        for n, part in enumerate(parts):
            last = n == count - 1
            with contextlib.nullcontext() if last or world == 1 else net.no_sync():
                loss = nn.functional.cross_entropy(net(part), targets) / count
                loss.backward()
            total += float(loss.detach())
        optimizer.step()
        if world == 1:
            return total
        mean = torch.tensor(total)
        dist.all_reduce(mean)
        return float(mean) / world

    return step


def pipeline_step(peer: Peer, rank: int) -> Callable[[], float]:
    """One of two processes of a pipeline, frames as micro-batches."""
    from torch.distributed import pipelining

    torch.set_num_threads(1)
    kind = {
        "torch gpipe": "ScheduleGPipe", "torch 1f1b": "Schedule1F1B",
        "torch zero bubble": "ScheduleInterleavedZeroBubble", "torch zbv": "ScheduleZBVZeroBubble",
    }[peer.name]  # fmt: skip
    make: Any = getattr(pipelining, kind, None) or getattr(pipelining.schedules, kind)
    one = kind in ("ScheduleGPipe", "Schedule1F1B")
    cuts: Sequence[range] = TWO if one else FOUR
    mine = {True: [rank], False: [rank, rank + WORLD]}[one]
    if peer.name == "torch zbv":
        mine = [rank, 2 * WORLD - 1 - rank]
    modules = modules_of(peer)
    device = torch.device("cpu")
    stages = [
        pipelining.PipelineStage(
            nn.Sequential(*[modules[n] for n in cuts[i]]), i, len(cuts), device
        )
        for i in mine
    ]
    schedule = make(stages[0] if one else stages, peer.frames, loss_fn=nn.functional.cross_entropy)
    clip, labels = data_of(peer)
    # What one process sends to the other has to be contiguous.
    frames, targets = folded(clip, torch.contiguous_format), labels.repeat(peer.frames)
    parameters = [p for stage in stages for p in stage.submod.parameters()]
    optimizer = torch.optim.SGD(parameters, RATE)
    first, last = 0 in mine, len(cuts) - 1 in mine

    def step() -> float:
        optimizer.zero_grad()
        losses: list[torch.Tensor] = []
        given = {"target": targets, "losses": losses} if last else {}
        schedule.step(*([frames] if first else []), **given)
        optimizer.step()
        mean = torch.stack(losses).mean().detach() if losses else torch.zeros([])
        dist.all_reduce(mean)
        return float(mean)

    return step


def together(peer: Peer, rank: int) -> Callable[[], float]:
    """A step of this process and of the others; those do what process 0 says."""
    dist.init_process_group(
        "gloo", f"file://{peer.folder}/{peer.name.replace(' ', '_')}", rank=rank,
        world_size=WORLD, timeout=datetime.timedelta(days=1),
    )  # fmt: skip
    data_parallel = "ddp" in peer.name
    step = plain_step(peer, rank, WORLD) if data_parallel else pipeline_step(peer, rank)
    word = torch.zeros([], dtype=torch.int64)
    if rank:
        with contextlib.suppress(RuntimeError):  # Process 0 has gone: there is no more to do.
            while True:
                dist.broadcast(word, 0)
                step()
                dist.barrier()
        sys.exit(0)

    def led() -> float:
        dist.broadcast(word, 0)
        loss = step()
        dist.barrier()
        return loss

    return led


def main() -> None:
    """Serve `peers.py`; started again for the other processes of a rival, with their rank."""
    peer, rank = Peer.from_json(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    if peer.name in ("torch batched", "torch frame by frame"):
        serve(lambda: plain_step(peer, 0, 1))
        return
    if rank:
        together(peer, rank)
    module, nowhere = "sideways_tf.bench.torch_peer", subprocess.DEVNULL
    others = [
        subprocess.Popen(
            **child.command(module, [peer.to_json(), str(n)]), stdin=nowhere, stdout=nowhere
        )
        for n in range(1, WORLD)
    ]
    try:
        serve(lambda: together(peer, 0))
    finally:
        for other in others:
            other.kill()


if __name__ == "__main__":
    main()

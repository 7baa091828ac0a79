"""How far motion alone turns the pseudo-gradients of a trained auto-encoder from true gradients.

    python tools/late_gradients.py --workdir=runs/NAME
    python tools/late_gradients.py --workdir=runs/NAME --still

Weights stand still while each clip of an epoch goes through the modules, so that pseudo-gradients
are off by what they meet on their way alone: later frames. The true gradient is that of the very
loss which Sideways learns from: frame tau shown against frame tau + D - 1. By module:

norm, true and pseudo  L2 norms of the means over all batches
of the means           cosine between these two: what is off here does not average out
each                   cosine between the two of one batch, mean over the batches

--still holds each clip at its first frame: there all cosines are 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sideways_tf import cli, progress
from sideways_tf.agreement import compare
from sideways_tf.errors import UserError
from sideways_tf.model import SidewaysModel
from sideways_tf.report.table import Table
from sideways_tf.runs import make, options
from sideways_tf.runs.folder import RunFolder

FLAGS, define = options.new_flags()
define("workdir", "", "folder of a run of Sideways with --model=autoencoder")
define("cache_dir", None, "where prepared data sets are kept now")
define("data_dir", None, "where the videos are now")
define("still", False, "hold each clip at its first frame")


def main() -> None:
    """Print the table of the run in --workdir."""
    folder = RunFolder(FLAGS.workdir)
    moved = {name: FLAGS[name].value for name in ("cache_dir", "data_dir")}
    config = dataclasses.replace(folder.config(), **{k: v for k, v in moved.items() if v})
    if not config.autoencodes or config.algorithm != "sideways" or make.source_target(config):
        raise UserError(
            f"workdir={folder.path} is no run of Sideways that shows current frames: name one of "
            "--model=autoencoder --algorithm=sideways"
        )
    make.start_tensorflow(config)
    model, dataset, done = make.open_trained(config, folder)
    plain = dataclasses.replace(
        config, algorithm="bp", engine="auto", delay_rates="none", look_ahead="none"
    )
    exact = make.make_model(plain, dataset)
    for mine, trained in zip(exact.modules, model.modules, strict=True):
        mine.layer.set_weights(trained.layer.get_weights())
    count = make.iterations_per_epoch(config, dataset)
    batches = make.train_batches(config, dataset, epoch=0)
    shown = progress.over(batches, "clips", " batches", total=count)
    pairs = (gradients(model, exact, still(clip) if FLAGS.still else clip) for clip, _ in shown)
    said = table(pairs).markdown()
    print(f"{folder.path} at iteration {done}, {count} batches\n\n{said}")


Gradients = list[list[np.ndarray]]


def still(clips: np.ndarray) -> np.ndarray:
    """Each clip, [B, K, ...], held at its first frame."""
    return np.repeat(clips[:, :1], clips.shape[1], axis=1)


def gradients(
    model: SidewaysModel, exact: SidewaysModel, clips: np.ndarray
) -> tuple[Gradients, Gradients]:
    """Pseudo-gradients and true gradients of the same loss, by module; no weight moves.

    Args:
      model, exact: Sideways and BP with the same weights.
      clips: [B, K, H, W, C].
    """
    late = model.depth - 1
    pseudo = model.pseudo_gradients(clips, clips)
    true = exact.pseudo_gradients(clips[:, : clips.shape[1] - late], clips[:, late:])
    return arrays(pseudo.pseudo_gradients), arrays(true.pseudo_gradients)


def arrays(modules: Sequence[Sequence[Any]]) -> Gradients:
    """Of tensors."""
    return [[np.asarray(gradient) for gradient in module] for module in modules]


def table(pairs: Iterable[tuple[Gradients, Gradients]]) -> Table:
    """A row for each module; of pseudo-gradients and true gradients, batch by batch."""
    sums: tuple[Gradients, Gradients] | None = None
    each = []
    for pair in pairs:  # One at a time: an epoch of gradients may not fit into memory.
        each.append(compare(*pair).cosine)
        sums = (added(sums[0], pair[0]), added(sums[1], pair[1])) if sums else pair
    assert sums, "an epoch has a batch"
    rows, cosines = [], compare(*sums).cosine.numpy()
    for i, (pseudo, true) in enumerate(zip(*sums, strict=True)):
        norms = (f"{norm(module) / len(each):.3g}" for module in (true, pseudo))
        rows.append([str(i + 1), *norms, f"{cosines[i]:.2f}", f"{np.mean(each, 0)[i]:.2f}"])
    return Table("", ["module", "norm, true", "norm, pseudo", "of the means", "each"], rows)


def added(left: Gradients, right: Gradients) -> Gradients:
    """Sums, gradient by gradient."""
    both = zip(left, right, strict=True)
    return [[a + b for a, b in zip(*modules, strict=True)] for modules in both]


def norm(module: Sequence[np.ndarray]) -> float:
    """L2 norm of all numbers of a module's gradients."""
    return float(np.sqrt(sum(np.sum(np.square(gradient)) for gradient in module)))


if __name__ == "__main__":
    cli.run(main)

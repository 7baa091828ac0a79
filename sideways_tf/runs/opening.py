"""The screen at the start of a run: what is trained, on what, how, and where it goes."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from sideways_tf.data import VideoDataset
from sideways_tf.model import SidewaysModel
from sideways_tf.plan.costs import count_row
from sideways_tf.runs.config import Config


def facts(config: Config, dataset: VideoDataset, model: SidewaysModel, total: int) -> dict:
    """Everything the screen says, for programs; `total`: iterations of the whole run."""
    return {
        "task": {
            "task": "auto-encoding" if config.autoencodes else "classification",
            "algorithm": config.algorithm,
            "engine": type(model.engine).__name__,
            "update_every": config.episode,
        },
        "data": {
            "dataset": dataset.name,
            "train_videos": dataset.num_train,
            "test_videos": dataset.num_test,
            "classes": len(dataset.class_names),
            "frames": dataset.frames,
        },
        "modules": modules(config, model),
        "recipe": {**config.recipe, "iterations": total, "seed": config.seed},
    }


def modules(config: Config, model: SidewaysModel) -> list[dict[str, Any]]:
    """A row for each module; work is its share of the operations of a forward pass, in [0, 1]."""
    frame = tf.TensorSpec([config.batch_size, config.size, config.size, 3], tf.float32)
    counts = count_row([module.layer for module in model.modules], frame, model.wiring)
    return [
        {
            "module": i,
            "layer": module.layer.name,
            "device": ", ".join(map(_short, module.devices)),
            "output": [config.batch_size, *module.facts.h_out.shape[1:].as_list()],
            "parameters": sum(int(tf.size(v)) for v in module.trainable_variables),
            "work": count / max(1, sum(counts)),
        }
        for i, (module, count) in enumerate(zip(model.modules, counts, strict=True), 1)
    ]


def _short(device: str) -> str:
    return device.removeprefix("/job:localhost/replica:0/task:0").removeprefix("/device:")


def screen(config: Config, said: dict[str, Any], folder: str) -> str:
    """`facts` as text."""
    task, data = said["task"], said["data"]
    classes = "" if config.autoencodes else f", {data['classes']} classes"
    held = ", of them the test videos" if config.holdout else ""
    every = "an update a clip" if config.episode == config.frames else (
        f"an update every {config.episode} computation steps"
    )  # fmt: skip
    parameters = sum(row["parameters"] for row in said["modules"])
    lines = [
        f"task     {task['task']} by {config.algorithm} ({task['engine']}), {every}",
        f"data     {data['dataset']}: {data['train_videos']} training videos{held}, "
        f"{data['test_videos']} test videos{classes}, {data['frames']:,} frames in all",
        f"clips    {config.batch_size} at once, {config.frames} frames of {config.size}x"
        f"{config.size} pixels{f', every {config.stride}th' if config.stride > 1 else ''}",
        f"network  {config.model}, {len(said['modules'])} modules, {parameters:,} parameters",
        *_table(said["modules"]),
        f"recipe   {_recipe(config, said['recipe']['iterations'])}",
        f"workdir  {folder}",
    ]
    if not config.autoencodes:
        lines.append("The bar's accuracy is of clips, frame by frame; tests are of whole videos.")
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    header = ["module", "layer", "device", "output", "parameters", "work"]
    cells = [header] + [
        [
            str(row["module"]), row["layer"], row["device"], "x".join(map(str, row["output"])),
            f"{row['parameters']:,}", f"{row['work']:.0%}",
        ]
        for row in rows
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = (0, 4, 5)
    return [
        " " * 9
        + "  ".join(
            cell.rjust(width) if n in right else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]


def _recipe(config: Config, total: int) -> str:
    drops = [str(epoch) for epoch in config.drop_epochs if epoch < config.epochs]
    parts = [
        f"{_epochs(config.epochs)}, at most {config.max_iterations} iterations"
        if config.max_iterations
        else f"{_epochs(config.epochs)}, {total} iterations",
        f"{config.optimizer}, rate {config.learning_rate:g}",
        f"warm-up of {_epochs(config.warmup_epochs)}" if config.warmup_epochs else "no warm-up",
        f"a tenth from epoch {', '.join(drops)} on" if drops else "",
        f"weight decay {config.weight_decay:g}" if config.weight_decay else "",
        f"dropout {config.dropout:g}" if config.dropout else "",
        f"seed {config.seed}",
    ]
    return ", ".join(filter(None, parts))


def _epochs(number: float) -> str:
    return f"{number:g} epoch{'s' * (number != 1)}"

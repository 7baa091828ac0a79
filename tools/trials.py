"""The trials behind docs/autoencoding.md and docs/reproduction.md, each by one command.

    python tools/trials.py moving_objects
    python tools/trials.py real --data_dir=DIR

Each is one or more calls of `sideways sweep`, one after the other. Runs that are finished are not
repeated: the same command goes on after a stop. Which of them were run, and which were not, is said
in those documents. Estimates for two cores that do nothing else:

moving_objects  auto-encoding, chosen on held-out training videos, five seeds; 2.5 hours
look_ahead      a part of that grid, at one rate each, and with weights that look ahead; half an
                hour
chosen          the same with what was chosen, five seeds: BP, Sideways with --means and without;
                half an hour
delay           two fifths of it with 1, 2, 3, 6 and 10 modules, with --means and without, five
                seeds; half an hour
real            CATER and UCF101, with --means and without, five seeds; DIR holds cater/ and
                ucf101/; 40 minutes
dropout         VGG-8 with dropout 0.9, masks by episode and by step; DIR holds ucf101/; 2 hours
strides         classification of moving shapes at strides 1, 2, 4, 8 and 16, two rates with five
                seeds and a third with one, with videos of 176 frames, which it draws; 1.5 hours
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from sideways_tf import cli
from sideways_tf.errors import UserError
from sideways_tf.runs import options

FLAGS, define = options.new_flags()
define("data_dir", "", "folder above those of the data sets")
define("output_dir", "runs/trials", "folder of all trials")
define("parallel", 1, "runs at once, which share the cores out: their sums are rounded otherwise "
       "than those of a run that has all", low=1)  # fmt: skip
define(
    "means",
    ["learning_rate=2e-4", "beta_1=0", "delay_rates=inverse"],
    "of chosen, delay and real: flags of Sideways, as moving_objects has chosen them",
)

LONG_SHAPES = "strides/moving_shapes"  # below --output_dir
LONG_FRAMES = 176  # 10 strides of 16 and a frame, and room for where a clip starts

STREAM = "--flagfile=configs/moving_shapes_autoencoder.cfg"
SMALL = ["--model=autoencoder", "--size=48", "--resize=64"]
CATER = [
    *SMALL, "--dataset=cater", "--data_dir={data_dir}/cater", "--batch_size=1", "--epochs=150",
    "--warmup_epochs=12", "--drop_epochs=120", "--evaluate_every=15",
]  # fmt: skip
UCF = [
    *SMALL, "--dataset=ucf101", "--data_dir={data_dir}/ucf101", "--allow_missing_videos",
    "--batch_size=4", "--epochs=3", "--warmup_epochs=0.2", "--drop_epochs=2", "--evaluate_every=1",
]  # fmt: skip
# BP's best on the embedded set; Sideways with --means; the paper's algorithm without any.
BP = ["--grid=algorithm=bp", "--learning_rate=1e-3"]
MENDED = ["--grid=algorithm=sideways", "{means}"]
PLAIN = ["--grid=algorithm=sideways", "--learning_rate=2e-4"]
# After two of the five epochs, when the paper's own setting scatters most.
DEPTHS = ["--grid=modules=1,2,3,6,10", "--compare=modules,algorithm", "--max_iterations=48"]
STRIDES = [
    "--flagfile=configs/moving_shapes.cfg", "--dataset=folder", "--data_dir={long_shapes}",
    "--frames=11", "--evaluate_every=0", "--diagnose_every=20", "--grid=stride=1,2,4,8,16",
    "--grid=algorithm=bp,sideways", "--compare=stride,learning_rate,algorithm",
]  # fmt: skip
# Three seeds to choose by: a rate at the edge of stability looks good in one.
CHOICE = ["--search_seeds=3", "--seeds=5"]
RATES = ["--grid=learning_rate=2e-4,5e-4,1e-3", "--grid=beta_1=0,0.5,0.9", *CHOICE]

# Trial -> folder of a sweep -> its flags.
TRIALS: dict[str, dict[str, list[str]]] = {
    "moving_objects": {
        "bp": [STREAM, "--grid=algorithm=bp", *RATES],
        "sideways": [
            STREAM, "--grid=algorithm=sideways", *RATES, "--grid=delay_rates=root,inverse",
        ],
        "plain": [STREAM, "--seeds=5", *PLAIN],
    },
    "look_ahead": {
        "bp": [
            STREAM, *BP, "--grid=beta_1=0.5,0.9", "--grid=look_ahead=none,nesterov", *CHOICE,
        ],
        "sideways": [
            STREAM, "--grid=algorithm=sideways", "--learning_rate=5e-4", "--delay_rates=inverse",
            "--grid=beta_1=0,0.5", "--grid=look_ahead=none,delay", *CHOICE,
        ],
    },
    "chosen": {
        "bp": [STREAM, "--seeds=5", *BP],
        "mended": [STREAM, "--seeds=5", *MENDED],
        "plain": [STREAM, "--seeds=5", *PLAIN],
    },
    "delay": {
        "mended": [STREAM, "--seeds=5", *MENDED, *DEPTHS],
        "plain": [STREAM, "--seeds=5", *PLAIN, *DEPTHS],
    },
    "real": {
        f"{data}_{name}": [*flags, "--seeds=5", *way]
        for data, flags in (("cater", CATER), ("ucf101", UCF))
        for name, way in (("bp", BP), ("mended", MENDED), ("plain", PLAIN))
    },
    "dropout": {
        "masks": [
            "--flagfile=configs/ucf3.cfg", "--data_dir={data_dir}/ucf101", "--model=vgg8",
            "--dropout=0.9", "--epochs=10", "--warmup_epochs=2", "--evaluate_every=5",
            "--diagnose_every=20", "--seeds=5", "--grid=dropout_mask=episode,step",
            "--grid=algorithm=bp,sideways", "--compare=dropout_mask,algorithm",
        ],
    },
    "strides": {
        "shapes": [*STRIDES, "--grid=learning_rate=1e-4,1e-3", "--seeds=5"],
        "top": [*STRIDES, "--grid=learning_rate=3e-3", "--seeds=1"],
    },
}  # fmt: skip


def expanded(flags: list[str], data_dir: str, means: list[str], output_dir: str) -> list[str]:
    """`flags` with the folders of data, and with the flags of --means, put in."""
    given: list[str] = []
    places = {"data_dir": data_dir, "long_shapes": f"{output_dir}/{LONG_SHAPES}"}
    for flag in flags:
        own = [f"--{each}" for each in means]
        given += own if flag == "{means}" else [flag.format(**places)]
    return given


def draw_long_shapes(folder: Path) -> None:
    """Draw the moving shapes as videos that hold a clip of 11 frames at stride 16, once."""
    if folder.exists():
        return
    # They import TensorFlow, which takes seconds.
    from sideways_tf.data.synthetic import moving_shapes as shapes
    from sideways_tf.report.reconstruction_pictures import write_animation

    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"--output_dir: {part} cannot be made ({error.strerror}); name a folder that can"
        ) from error
    print(f"drawing {folder}", file=sys.stderr, flush=True)
    for name, count in (("train", shapes.NUM_TRAIN), ("test", shapes.NUM_TEST)):
        for video in shapes.numbered(name, count):
            place = part / name / video.label / f"{Path(video.name).name}.avi"
            frames = shapes.draw_video(video.name, video.label, height=64, frames=LONG_FRAMES)
            write_animation(place, list(frames), rate=25)
    part.rename(folder)


def main(names: list[str]) -> int:
    """Run the sweeps of the named trials; returns 1 if one of them failed."""
    for name in names or ["none"]:
        if name not in TRIALS:
            raise UserError(f"'{name}' is no trial: name one or more of {', '.join(TRIALS)}")
    status = 0
    for name in names:
        for folder, flags in TRIALS[name].items():
            if not FLAGS.data_dir and any("{data_dir}" in flag for flag in flags):
                raise UserError(f"{name} reads real video: give --data_dir")
            given = expanded(flags, FLAGS.data_dir, FLAGS.means, FLAGS.output_dir)
            if any("{long_shapes}" in flag for flag in flags):
                draw_long_shapes(Path(FLAGS.output_dir).expanduser() / LONG_SHAPES)
            place = f"--output_dir={FLAGS.output_dir}/{name}/{folder}"
            command = [sys.executable, "-m", "sideways_tf.cli", "sweep", *given, place]
            command.append(f"--parallel={FLAGS.parallel}")
            status |= subprocess.run(command, check=False, env=threads(FLAGS.parallel)).returncode
    return 1 if status else 0


def threads(parallel: int) -> dict[str, str]:
    """The environment of runs of which so many share this machine's cores out."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS") if parallel > 1 else ()
    each = max(1, (os.cpu_count() or 1) // parallel)
    return {**os.environ, **dict.fromkeys(names, str(each))}


if __name__ == "__main__":
    cli.run(main)

"""The command line: commands with flags of their own, flagfiles, help, and errors of one line."""

import importlib
import os
import pathlib
import subprocess
import sys

import pytest
from absl import flags

from sideways_tf import __version__, cli
from sideways_tf.cli.command import as_flags
from sideways_tf.errors import UserError
from sideways_tf.runs import options

ROOT = pathlib.Path(__file__).parents[2]


def sideways(*words, cwd=ROOT, path=ROOT):
    return subprocess.run(
        [sys.executable, "-c", "from sideways_tf import cli; cli.main()", *map(str, words)],
        cwd=cwd, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": f"{path}:{ROOT}"},
    )  # fmt: skip


def test_commands_have_flags_of_their_own_in_one_process():
    modules = {name: importlib.import_module(module) for name, module in cli.COMMANDS.items()}
    train, evaluate = modules["train"].FLAGS, modules["evaluate"].FLAGS
    options.parse(train, ["train", "--workdir=a"])
    options.parse(evaluate, ["evaluate", "--workdir=b"])
    assert (train.workdir, evaluate.workdir) == ("a", "b")
    assert "batch_size" not in evaluate
    assert len({id(module.FLAGS) for module in modules.values()}) == len(modules)
    assert "workdir" not in flags.FLAGS


def test_overview_version_and_help_do_without_tensorflow(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('it takes seconds')")
    overview = sideways("--help", path=tmp_path)
    assert overview.returncode == 0
    assert [line.split("  ")[1] for line in overview.stdout.splitlines()[2:]] == list(cli.COMMANDS)
    assert sideways("--version").stdout == f"sideways_tf {__version__}\n"
    for name in cli.COMMANDS:
        done = sideways(*name.split(), "--help", path=tmp_path)
        assert done.returncode == 0
        assert f"sideways {name} " in done.stdout or "python -m sideways_tf." in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--dataset=ucf101", "--data_dir=/no/such"],
        ["train", "--flagfile=/no/such"],
        ["train", "--frames=10"],
        ["evaluate", "--workdir=/no/such"],
        ["predict", "--workdir=/no/such", "/no/such.mp4"],
        ["prepare", "--dataset=folder", "--data_dir=out", "--source_dir=/no/such"],
        ["plot", "reconstructions", "--bp=/no/such", "--sideways=/no/such", "--output=a.png"],
    ],
)
def test_what_is_not_there_is_said_before_tensorflow_is_imported(words, tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('it takes seconds')")
    done = sideways(*words, path=tmp_path, cwd=tmp_path)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("error: ")
    assert "/no/such" in line or "10 frames are too few" in line
    assert [path.name for path in tmp_path.iterdir()] == ["tensorflow.py"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "'trian' is no command: train, evaluate"),
        (["plot"], "'plot' is no command"),
        (["train", "--framez=3"], "framez"),
        (["train", "--learning_rate=nan"], "--learning_rate=nan: give a finite number"),
        (["bench", "speed", "--step_ms=inf"], "--step_ms=inf: give a finite number"),
        (["bench", "speed", "--step_ms=a"], "--step_ms=a: give a number"),
        (["bench", "wide", "--devices=x"], "--devices=x: give a whole number"),
        (["bench", "wide", "--slices=64,257"], "--slices=257: give numbers of channels from 1"),
        (["train", "--flagfile"], "no such file"),
        (["train", "--no_such"], "Unknown command line flag 'no_such'"),
        (["plot", "stride"], "name folders of runs"),
    ],
)
def test_errors_are_one_line(words, expected):
    done = sideways(*words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert expected in line
    assert "ERROR::" not in line


def test_slices_are_measured_beside_the_whole():
    small = ["--pairs=1", "--steps=1", "--size=16", "--batch_size=1"]
    done = sideways("bench", "wide", "--slices=64,16", *small)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [
        [float(cell) for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:]
    ]
    assert [row[0] for row in rows] == [256, 64, 16]
    whole = rows[0][1]
    for channels, milliseconds, over in rows:
        rounding = over * (0.06 / milliseconds + 0.06 / whole) + 0.006  # Of all three, as printed.
        assert abs(over - milliseconds / whole * 256 / channels) <= rounding


def test_arguments_are_named_as_flags_where_they_are_flags():
    text = "size=64 (and model=vgg8) in runs/size=64,seed=1: --size=3, rank=2, a=size=1"
    said = as_flags(text, {"size", "model", "seed"})
    assert said == "--size=64 (and --model=vgg8) in runs/size=64,seed=1: --size=3, rank=2, a=size=1"


def parse(*arguments):
    values = flags.FlagValues()
    options.define(values, "rate", 1.0, "of learning")
    options.define(values, "frames", 64, "K")
    assert options.parse(values, ["program", *map(str, arguments)]) == []
    return values.rate, values.frames


def test_a_flagfile_finds_what_it_takes_in(tmp_path, monkeypatch):
    """From the current folder, beside it, one above it; the last of two flags counts."""
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "base.cfg").write_text("# all\n--rate=2\n\n--frames=3\n")
    (configs / "above.cfg").write_text("--flagfile=configs/base.cfg\n--frames=4\n")
    (configs / "beside.cfg").write_text("\ufeff--flagfile=base.cfg\n")
    monkeypatch.chdir("/")
    assert parse(f"--flagfile={configs / 'above.cfg'}") == (2, 4)
    assert parse("--flagfile", configs / "beside.cfg", "--rate=7") == (7, 3)
    monkeypatch.chdir(tmp_path)
    assert parse("--flagfile=configs/above.cfg") == (2, 4)
    (configs / "round.cfg").write_text("--flagfile=round.cfg\n")
    with pytest.raises(UserError, match="takes itself in"):
        parse("--flagfile=configs/round.cfg")
    with pytest.raises(UserError, match=r"none\.cfg: no such file"):
        parse("--flagfile=none.cfg")


def test_shipped_flagfiles_are_found_from_any_folder(tmp_path):
    done = sideways("sweep", "--flagfile=configs/ucf_vgg8.cfg", cwd=tmp_path)
    assert "the grid is empty" in done.stderr

"""A wheel of a clean clone holds all that a training needs, wherever it is started."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
SMALL = ["--resize=24", "--size=16", "--frames=12", "--batch_size=4", "--max_iterations=3"]


def run(command, cwd, **variables):
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package alone: what a clean clone holds, as a wheel, unpacked by pip."""
    folder = tmp_path_factory.mktemp("install")
    clone = folder / "clone"
    tracked = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT)
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).exists() and not name.startswith(("docs/", "tests/")):
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name, follow_symlinks=False)
    run(
        [*PIP, "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", clone], folder
    )
    (wheel,) = folder.glob("sideways_tf-*.whl")
    run([*PIP, "install", "--no-deps", f"--target={folder / 'site'}", wheel], folder)
    return folder / "site"


@pytest.fixture
def elsewhere(installed, tmp_path):
    """Runs a command in an empty folder, with the installed package and not this checkout."""

    def runner(*command):
        return run(command, tmp_path, PYTHONPATH=str(installed), PYTHONSAFEPATH="1")

    return runner


def test_the_installed_package_is_the_one_imported(installed, elsewhere):
    found = elsewhere(
        sys.executable,
        "-c",
        "import sideways_tf, importlib.metadata as m; print(sideways_tf.__file__); "
        "print(m.version('sideways-tf') == sideways_tf.__version__)",
    )
    assert found.split() == [str(installed / "sideways_tf" / "__init__.py"), "True"]


def test_nothing_is_missing_in_the_wheel(installed):
    def files(root):
        return {
            str(path.relative_to(root))
            for path in root.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    configs = {f"configs/{path.name}" for path in (ROOT / "configs").iterdir()}
    assert files(installed / "sideways_tf") == files(ROOT / "sideways_tf") | configs


def test_the_command_trains_in_another_folder(installed, elsewhere, tmp_path):
    """With a flagfile that the wheel brought, named as in a checkout."""
    elsewhere(
        *[installed / "bin" / "sideways", "train", "--flagfile=configs/moving_shapes.cfg"],
        *[*SMALL, "--cache_dir=cache", "--workdir=run"],
    )
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["iterations"] == 3
    assert results["test_videos"] == 80


def test_a_library_user_needs_nothing_else(elsewhere):
    elsewhere(
        *[sys.executable, "-c"],
        "import sideways_tf as sw, tensorflow as tf\n"
        "model = sw.SidewaysModel([tf.keras.layers.Dense(3), tf.keras.layers.Dense(2)])\n"
        "model.compile('adam', 'mse')\n"
        "model.fit(tf.ones([4, 6, 5]), tf.ones([4, 2]), batch_size=2, verbose=0)\n",
    )

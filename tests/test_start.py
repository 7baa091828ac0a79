"""`import sideways_tf` settles which Keras is used, and that TensorFlow loads without a word."""

import importlib.metadata
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HAS_KERAS_3 = importlib.metadata.version("keras") >= "3"
WORDS = "import os; os.write(2, b'compiled for another processor\\n')"


def python(code, path=ROOT, **variables):
    """Runs `code` with the package on its path, as a user who has set nothing else."""
    unset = ("TF_CPP_MIN_LOG_LEVEL", "TF_USE_LEGACY_KERAS")
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PYTHONPATH": str(path), **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def stand_in(tmp_path):
    """Makes a package `tensorflow` of the given code; a PYTHONPATH with it and this package."""

    def make(code):
        (tmp_path / "tensorflow").mkdir()
        (tmp_path / "tensorflow" / "__init__.py").write_text(code)
        return f"{tmp_path}:{ROOT}"

    return make


def test_tensorflow_loads_without_a_word_and_with_keras_2():
    done = python("import sideways_tf, tensorflow as tf; print(tf.ones(1), tf.keras.Model)")
    assert (done.returncode, done.stderr) == (0, "")
    assert "keras._tf_keras" not in done.stdout
    assert "keras.src.engine.training.Model" in done.stdout


def test_who_asks_for_tensorflows_words_gets_them():
    # Without being told, TensorFlow takes oneDNN's kernels, and says so, on some processors alone.
    words = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_ENABLE_ONEDNN_OPTS": "1"}
    done = python("import sideways_tf, tensorflow", **words)
    assert "oneDNN" in done.stderr


def test_words_of_an_import_that_succeeds_are_dropped(stand_in):
    code = "import os, sideways_tf, tensorflow; os.write(2, b'later')"
    done = python(code, stand_in(WORDS))
    assert (done.returncode, done.stderr) == (0, "later")


def test_words_of_an_import_that_fails_come_before_the_error(stand_in):
    done = python("import sideways_tf, tensorflow", stand_in(f"{WORDS}; import no_such_module"))
    assert done.stderr.startswith("compiled for another processor\nTraceback")
    assert done.stderr.endswith("No module named 'no_such_module'\n")


def test_words_of_an_import_that_kills_the_process_are_given_back(stand_in):
    done = python("import sideways_tf, tensorflow", stand_in(f"{WORDS}; os.abort()"))
    assert done.returncode == -signal.SIGABRT
    assert done.stderr == "compiled for another processor\n"


def test_an_interrupt_while_tensorflow_loads_drops_its_words(stand_in):
    code = "try:\n import sideways_tf, tensorflow\nexcept KeyboardInterrupt: print('interrupted')"
    done = python(code, stand_in(f"{WORDS}; raise KeyboardInterrupt"))
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_nothing_is_left_in_the_folder_for_temporary_files(stand_in, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    path = stand_in(WORDS)
    assert python("import sideways_tf, tensorflow", path, TMPDIR=str(temporary)).returncode == 0
    assert list(temporary.iterdir()) == []


def test_tensorflow_may_be_imported_first():
    done = python(
        "import tensorflow as tf, sideways_tf\n"
        "from sideways_tf.start import check_keras2\n"
        "check_keras2(tf.keras.Sequential())"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not HAS_KERAS_3, reason="Keras 2 is all there is")
def test_keras_3_in_use_before_is_refused_in_one_line():
    done = python("import tensorflow as tf; tf.keras.Sequential(); import sideways_tf")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: tf.keras is Keras 3")
    assert "set TF_USE_LEGACY_KERAS=1" in last


def test_a_model_of_another_keras_is_refused_in_one_line():
    code = (
        "import sideways_tf\n"
        "from sideways_tf.errors import UserError\n"
        "from sideways_tf.start import check_keras2\n"
        f"import {'keras' if HAS_KERAS_3 else 'collections as keras'}\n"
        f"made = keras.{'Sequential' if HAS_KERAS_3 else 'OrderedDict'}()\n"
        "try:\n"
        "  check_keras2(made)\n"
        "except UserError as error: print(error)\n"
    )
    done = python(code)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert "is no model or layer of tf.keras" in done.stdout

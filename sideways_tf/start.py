"""What is settled before TensorFlow is imported: which Keras, and what native libraries print.

`import sideways_tf` does it. Newer TensorFlows write log lines to file descriptor 2 while they
load, before anybody can ask them not to; behind an error of one line they would make it seven.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from types import ModuleType

from sideways_tf.errors import UserError

# Of unreadable videos OpenCV's remarks name neither the file nor the reason; we name both.
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OPENCV_LOG_LEVEL": "FATAL",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
}


def settle() -> None:
    """Make tf.keras Keras 2, and the first import of TensorFlow and of OpenCV a quiet one.

    Who sets one of the variables of `QUIET` otherwise gets to read what is printed.

    Raises:
      ImportError: if tf.keras is Keras 3 already, or Keras 2 cannot be had.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if _is_keras3_installed():
        os.environ["TF_USE_LEGACY_KERAS"] = "1"  # TensorFlow looks when tf.keras is first used
    loaded = sys.modules.get("tensorflow")
    if loaded is None:
        wanted = os.environ["TF_CPP_MIN_LOG_LEVEL"] != QUIET["TF_CPP_MIN_LOG_LEVEL"]
        if os.name == "posix" and sys.stderr is not None and not wanted:
            sys.meta_path.insert(0, _TensorFlowFinder())
    elif (version := getattr(loaded.keras, "__version__", "2")) >= "3":
        raise ImportError(
            f"tf.keras is Keras {version} in this process, sideways_tf needs Keras 2: import "
            "sideways_tf before tf.keras is used, or set TF_USE_LEGACY_KERAS=1"
        )


def check_keras2(model: object) -> None:
    """Refuse a model or layer that tf.keras, which is Keras 2 here, did not make.

    Raises:
      UserError: on a model of Keras 3, or anything else.
    """
    import tensorflow as tf

    if not isinstance(model, tf.keras.layers.Layer):
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        raise UserError(
            f"{kind} is no model or layer of tf.keras with Keras 2: make it after `import "
            "sideways_tf`, or set TF_USE_LEGACY_KERAS=1, and say tf.keras, not keras"
        )


def _is_keras3_installed() -> bool:
    try:
        return importlib.metadata.version("keras") >= "3"
    except importlib.metadata.PackageNotFoundError:
        return False


@contextlib.contextmanager
def held_stderr() -> Iterator[None]:
    """Keep what is written to file descriptor 2, and drop it at the end.

    Behind an exception it is written after all; and if the process dies, by a shell that watches.
    """
    with tempfile.NamedTemporaryFile(delete=False) as words:
        watch = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r well || cat "$0"; rm -f "$0"', words.name],
            stdin=subprocess.PIPE,
            stdout=2,
            start_new_session=True,  # Ctrl-C is not for it
        )
        kept = os.dup(2)
        os.dup2(words.fileno(), 2)
    answer = b"well\n"
    try:
        yield
    except Exception:
        answer = b""
        raise
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        watch.communicate(answer)


class _TensorFlowFinder(importlib.abc.MetaPathFinder):
    """Finds `tensorflow`, with a loader that holds file descriptor 2."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "tensorflow":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _QuietLoader(spec.loader.name, spec.loader.path)
        return spec


class _QuietLoader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        with held_stderr():
            super().exec_module(module)

"""Sideways: depth-parallel training of video models, in TensorFlow 2.

A network is a list of D modules, each on its own device. At every computation step each module
takes the newest activation from the module below and the newest pseudo-gradient from the module
above, overwrites its state, and goes on (Malinowski et al., 2020).
"""

import importlib
from typing import Any

from sideways_tf import start

__version__ = "0.1.0"
_HOMES = {
    "Clip": "sideways_tf.data",
    "Diagnosis": "sideways_tf.callbacks",
    "ModuleCurves": "sideways_tf.callbacks",
    "SaveAndResume": "sideways_tf.checkpoints",
    "SidewaysBlock": "sideways_tf.modules",
    "SidewaysModel": "sideways_tf.model",
    "StopOnSignal": "sideways_tf.callbacks",
    "UserError": "sideways_tf.errors",
    "WarmUpThenDrops": "sideways_tf.learning_rate",
    "make_engine": "sideways_tf.engines",
    "make_wiring": "sideways_tf.modules",
    "open_dataset": "sideways_tf.data",
    "split": "sideways_tf.modules",
}
__all__ = [*_HOMES]


start.settle()


def __getattr__(name: str) -> Any:
    """TensorFlow takes seconds to import: a public name brings it when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__

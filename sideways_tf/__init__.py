"""Sideways: depth-parallel training of video models, in TensorFlow 2.

A network is a list of D modules, each on its own device. At every computation step each module
takes the newest activation from the module below and the newest pseudo-gradient from the module
above, overwrites its state, and goes on (Malinowski et al., 2020).
"""

import importlib
from typing import Any

from sideways_tf import start

__version__ = "0.1.0"
__all__ = ["SidewaysModel", "UserError", "split"]

_HOMES = {
    "SidewaysModel": "sideways_tf.model",
    "UserError": "sideways_tf.errors",
    "split": "sideways_tf.modules.split",
}


start.settle()


def __getattr__(name: str) -> Any:
    """TensorFlow takes seconds to import: a public name brings it when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__

"""Sideways: depth-parallel training of video models, in TensorFlow 2.

A network is a list of D modules, each on its own device. At every computation step each module
takes the newest activation from the module below and the newest pseudo-gradient from the module
above, overwrites its state, and goes on (Malinowski et al., 2020).
"""

import os

# TensorFlow reads this once, when it is first imported: its start-up notes are not for our users.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"

"""Sideways: depth-parallel training of video models, in TensorFlow 2.

A network is a list of D modules, each on its own device. At every computation step each module
takes the newest activation from the module below and the newest pseudo-gradient from the module
above, overwrites its state, and goes on (Malinowski et al., 2020).
"""

from sideways_tf import start

__version__ = "0.1.0"

start.settle()

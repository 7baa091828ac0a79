"""A network is a row of D modules: layers on devices, and what each carries from step to step."""

from sideways_tf.modules.block import SidewaysBlock, build_modules
from sideways_tf.modules.split import split
from sideways_tf.modules.wiring import make_wiring

__all__ = ["SidewaysBlock", "build_modules", "make_wiring", "split"]

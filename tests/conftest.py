"""What every test shares: eight logical CPU devices and the place of real video."""

import os
import signal
from pathlib import Path

import sideways_tf  # noqa: F401 - before TensorFlow: it says which Keras

# isort: split

import pytest
import tensorflow as tf

LOGICAL_DEVICES = 8

# What a shell starts in the background ignores interrupts, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Devices are fixed once TensorFlow runs its first op, so they are set before any test is read.
# GPUs are hidden: the pinned numbers hold on a CPU, a GPU rounds float32 products (TF32).
tf.config.set_visible_devices([], "GPU")
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * LOGICAL_DEVICES,
)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real video that SIDEWAYS_REAL_DATA names."""
    named = os.environ.get("SIDEWAYS_REAL_DATA")
    if not named:
        pytest.skip("SIDEWAYS_REAL_DATA is unset: no real video to test with")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"SIDEWAYS_REAL_DATA={named} is no folder; name one or unset it")
    return folder

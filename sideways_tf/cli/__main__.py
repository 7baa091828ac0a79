"""`python -m sideways_tf.cli` is the command `sideways`."""

from sideways_tf.cli import main

main()

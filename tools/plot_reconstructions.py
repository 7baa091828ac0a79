"""The same as `sideways plot reconstructions`."""

from sideways_tf import cli

cli.main("plot reconstructions")

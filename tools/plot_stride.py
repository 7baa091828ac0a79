"""The same as `sideways plot stride`."""

from sideways_tf import cli

cli.main("plot stride")

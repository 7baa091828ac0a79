"""The same as `sideways plot dynamics`."""

from sideways_tf import cli

cli.main("plot dynamics")

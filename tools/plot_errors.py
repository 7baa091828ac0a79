"""The same as `sideways plot errors`."""

from sideways_tf import cli

cli.main("plot errors")

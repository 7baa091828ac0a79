"""The same as `sideways prepare`."""

from sideways_tf import cli

cli.main("prepare")

"""The same as `sideways bench speed`."""

from sideways_tf import cli

cli.main("bench speed")

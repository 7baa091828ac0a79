"""The same as `sideways inspect`."""

from sideways_tf import cli

cli.main("inspect")

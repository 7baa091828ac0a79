"""The same as `sideways tables`."""

from sideways_tf import cli

cli.main("tables")

"""The same as `sideways sweep`."""

from sideways_tf import cli

cli.main("sweep")

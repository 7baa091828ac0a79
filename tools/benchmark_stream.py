"""The same as `sideways bench stream`."""

from sideways_tf import cli

cli.main("bench stream")

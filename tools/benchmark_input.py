"""The same as `sideways bench input`."""

from sideways_tf import cli

cli.main("bench input")

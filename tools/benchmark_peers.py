"""The same as `sideways bench peers`."""

from sideways_tf import cli

cli.main("bench peers")

"""The same as `sideways stream`."""

from sideways_tf import cli

if __name__ == "__main__":
    cli.main("stream")

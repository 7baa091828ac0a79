"""The one exception that a user is meant to read."""


class UserError(Exception):
    """What was given, what is wrong with it, and what to do: one line, shown without traceback."""

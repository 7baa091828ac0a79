"""The one exception that a user is meant to read."""


class UserError(Exception):
    """What was given, what is wrong with it, and what to do: one line, shown without traceback."""

    # AutoGraph and Keras would wrap it into pages of their own code on its way out of `fit`.
    ag_pass_through = True
    _keras_call_info_injected = True

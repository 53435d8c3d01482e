"""The one error that ends a command with a message instead of a traceback."""


class ClusterError(Exception):
    """Something that the user can understand and act on; the message says what is wrong and what to do."""

"""What can go wrong with a run as a whole."""

from homefeed.schemas.errors import HomefeedError


class RunError(HomefeedError, RuntimeError):
    """The run could not start or go on, or there was none yet."""

"""What can go wrong when something is deployed."""

from homefeed.schemas.errors import HomefeedError


class DeployError(HomefeedError, RuntimeError):
    """A service refused a request, or could not be reached."""


class DeployUsageError(HomefeedError, ValueError):
    """What was asked for cannot be put into a request."""

    exit_code = 2

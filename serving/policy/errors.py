"""What is wrong with a file that says what goes on a page."""

from homefeed.schemas.errors import HomefeedError


class PolicyError(HomefeedError, ValueError):
    """A file of rules, surfaces, experiments or reviews cannot be used."""

    exit_code = 2

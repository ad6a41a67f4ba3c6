"""What is wrong with a file that says what goes on a page, and what of a page is not there."""

from homefeed.schemas.errors import HomefeedError


class PolicyError(HomefeedError, ValueError):
    """A file of rules, surfaces, experiments or reviews cannot be used."""

    exit_code = 2


class NotFound(LookupError):  # noqa: N818  An answer, not a fault.
    """What somebody asks for is not there, as `field: reason`. No KeyError of ours passes for it."""

"""What goes wrong on Beam."""

from homefeed.schemas.errors import HomefeedError


class BeamError(HomefeedError, RuntimeError):
    """The machines of a runner failed, or were not reached; or a place that its work needs is not ours."""

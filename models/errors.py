"""What can be wrong with a training or a model."""

from homefeed.schemas.errors import HomefeedError


class ModelError(HomefeedError, ValueError):
    """A model cannot be trained from this data, or cannot be read by this version of homefeed."""

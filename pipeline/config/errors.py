"""What is wrong with a configuration."""

from homefeed.schemas.errors import HomefeedError


class ConfigError(HomefeedError, ValueError):
    """The configuration names something that does not exist, or gives it a value that cannot be.

    Attributes:
        mistakes: all of them, one line each.
    """

    exit_code = 2

    def __init__(self, *mistakes: str) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes

"""The base of all errors that a user can mend."""

from __future__ import annotations

from typing import ClassVar


class HomefeedError(Exception):
    """What a user did or gave cannot be worked with; the message says what was expected and how to mend it.

    Attributes:
        exit_code: of the command line. 1: the work failed or a gate said no; 2: it was asked for wrongly.
    """

    exit_code: ClassVar[int] = 1

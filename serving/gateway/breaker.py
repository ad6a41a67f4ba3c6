"""When to ask a server that failed."""

from __future__ import annotations

FAILURES_TO_OPEN = 5
OPEN_SECONDS = 0.5


class Breaker:
    """Stops asking who failed several times in a row; after a pause one call tries again.

    >>> breaker = Breaker()
    >>> for _ in range(FAILURES_TO_OPEN):
    ...     breaker.tell(False, now=10.0)
    >>> breaker.allows(now=10.1), breaker.allows(now=10.6), breaker.allows(now=10.6)
    (False, True, False)
    >>> breaker.tell(True, now=10.7)
    >>> breaker.allows(now=10.7), breaker.allows(now=10.7)
    (True, True)
    """

    def __init__(self) -> None:
        self._failures = 0
        self._next_trial = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether calls are made."""
        return self._failures < FAILURES_TO_OPEN

    def allows(self, now: float) -> bool:
        """Whether a call may be made; a trial counts as made."""
        if self.is_closed:
            return True
        if now < self._next_trial:
            return False
        self._next_trial = now + OPEN_SECONDS
        return True

    def tell(self, succeeded: bool, now: float) -> None:
        """How a call ended."""
        self._failures = 0 if succeeded else self._failures + 1
        self._next_trial = now + OPEN_SECONDS

"""`Backoff`: how long to wait before something is tried again."""

import time
from collections.abc import Callable

FIRST_SECONDS = 1.0
MOST_SECONDS = 60.0
STABLE_SECONDS = 60.0
"""What ran this long is taken to be well again."""


class Backoff:
    """Waits that double from one second to a minute, and begin anew after a stable minute."""

    def __init__(
        self,
        first_seconds: float = FIRST_SECONDS,
        most_seconds: float = MOST_SECONDS,
        stable_seconds: float = STABLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing was tried yet."""
        self._first, self._most, self._stable = first_seconds, most_seconds, stable_seconds
        self._clock = clock
        self._next_seconds = first_seconds
        self._started = clock()

    def started(self) -> None:
        """It was started now."""
        self._started = self._clock()

    def failed(self) -> float:
        """It failed now.

        Returns:
            Seconds to wait before the next start.
        """
        if self._clock() - self._started >= self._stable:
            self._next_seconds = self._first
        seconds = self._next_seconds
        self._next_seconds = min(self._most, seconds * 2)
        return seconds

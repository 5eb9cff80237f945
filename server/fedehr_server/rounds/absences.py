"""`Absences`: nodes that are not connected, and how long each is waited for."""

import time
from collections.abc import Callable

RETURN_SECONDS = 240.0
"""A node that was killed is refused by the engine for a minute, and it has to start. Of an
answer that was half handed over when its node ended, the engine itself waits 180 seconds for the
rest before it says so."""


class Absences:
    """Whom to wait for: a node that just went away comes back, one that stayed away does not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds; for tests."""
        self._clock = clock
        self._since: dict[int, float] = {}
        self._given_up: set[int] = set()

    def may_return(self, node: int) -> bool:
        """Whether a node that is away now is still waited for.

        Once it was waited for in vain, no further round waits for it until it has answered.
        """
        if node in self._given_up:
            return False
        since = self._since.setdefault(node, self._clock())
        if self._clock() - since < RETURN_SECONDS:
            return True
        self._given_up.add(node)
        return False

    def is_away(self, node: int) -> bool:
        """Whether it has not answered since it was found to be away."""
        return node in self._since

    def answered(self, node: int) -> None:
        """It is there."""
        self._since.pop(node, None)
        self._given_up.discard(node)

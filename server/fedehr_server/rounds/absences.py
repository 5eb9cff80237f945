"""`Absences`: nodes that are not connected, how long each is waited for, and who has come back.

The engine answers for a node that is gone, unless that node had begun to hand an answer over:
then it waits for the rest, which a node that was started again does not have. So whoever was
gone since it was asked is asked again.
"""

import time
from collections.abc import Callable, Iterable

RETURN_SECONDS = 240.0
"""A node that was killed is refused by the engine for a minute, and it has to start."""


class Absences:
    """Whom to wait for: a node that just went away comes back, one that stayed away does not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds; for tests."""
        self._clock = clock
        self._since: dict[int, float] = {}
        self._given_up: set[int] = set()
        self._gone: set[int] = set()

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

    def returned(self, owing: Iterable[int], connected: frozenset[int]) -> list[int]:
        """Nodes that owe an answer and were gone for a while since they were asked.

        Args:
            owing: nodes that were asked and have not answered.
            connected: nodes that are there now.
        """
        asked = set(owing)
        self._gone |= asked - connected
        back = self._gone & asked & connected
        self._gone -= back
        return sorted(back)

    def asked(self, node: int) -> None:
        """It is asked now; what was before does not matter."""
        self._gone.discard(node)

    def answered(self, node: int) -> None:
        """It is there."""
        self._since.pop(node, None)
        self._given_up.discard(node)

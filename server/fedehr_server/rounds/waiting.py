"""`WaitingPushes`: sites that cannot answer yet, and when each is asked again."""

import time
from collections.abc import Callable

from fedehr_server.rounds.events import Push, PushLater

FIRST_SECONDS = 3.0
MOST_SECONDS = 30.0
"""The wait grows from the first to this."""
_GROWTH = 1.5
_BYTES_PER_SECOND = 1e6
_MOST_OF_A_LARGE_REQUEST = 300.0
"""A request of 100 MB is not sent twice a minute to a site that waits for a person."""


class WaitingPushes:
    """Holds back what the machine wants to be pushed later."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds; for tests."""
        self._clock = clock
        self._due: dict[int, tuple[float, PushLater]] = {}
        self._waits: dict[int, float] = {}

    def hold_shortly(self, push: PushLater) -> None:
        """Keep a push for the least time, after which it is to be seen whether it can go."""
        self._due[push.node] = self._clock() + FIRST_SECONDS, push

    def hold(self, push: PushLater, num_bytes: int) -> None:
        """Keep a push until its time has come.

        Args:
            push: which; an earlier one for its node is forgotten.
            num_bytes: of the request.
        """
        before = self._waits.get(push.node, FIRST_SECONDS / _GROWTH)
        wait = min(MOST_SECONDS, before * _GROWTH)
        self._waits[push.node] = wait
        slow = min(_MOST_OF_A_LARGE_REQUEST, num_bytes / _BYTES_PER_SECOND)
        self._due[push.node] = self._clock() + max(wait, slow), push

    def take_due(self) -> list[Push]:
        """What is to be pushed now."""
        now = self._clock()
        due = [push for when, push in self._due.values() if when <= now]
        for push in due:
            del self._due[push.node]
        return [Push(push.node, push.work, again=False) for push in due]

    def forget(self) -> None:
        """A new round begins: nothing of the old one is asked any more."""
        self._due.clear()
        self._waits.clear()

"""`Waits`: how long the engine's SuperNode sleeps between two questions.

Its loop sleeps 3 s where the coordinator has no work, and looks for the worker's answer twice a
second: of a round of seconds that is most. Here a wait is a share of what has been waited
already, never longer than the engine's own: a node that works is quick, one that rests asks the
coordinator as seldom as any other node.
"""

import time
from collections.abc import Callable

from flwr.supernode import start_client_internal

WORK_SECONDS, ANSWER_SECONDS = 3.0, 0.5
"""What the engine sleeps: without work, and until an answer is there."""
LEAST_WORK_SECONDS, LEAST_ANSWER_SECONDS = 0.25, 0.05
SHARE = 0.1
"""Of what has been waited: so much later, at most, is found what came in between."""


class Waits:
    """In the place of the module `time` in the engine's loop, which calls `sleep` and no more."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`clock` and `sleep`: for tests, in seconds."""
        self._clock = clock
        self._sleep = sleep
        self._busy_at = float("-inf")
        self._asked_at: float | None = None

    def install(self) -> None:
        """Let the engine's loop of this process sleep here."""
        vars(start_client_internal)["time"] = self

    def sleep(self, seconds: float) -> None:
        """Sleep no longer than the engine asks for."""
        now = self._clock()
        if seconds == WORK_SECONDS:
            self._asked_at = None
            wait = max(LEAST_WORK_SECONDS, SHARE * (now - self._busy_at))
        elif seconds == ANSWER_SECONDS:
            self._asked_at = now if self._asked_at is None else self._asked_at
            self._busy_at = now
            wait = max(LEAST_ANSWER_SECONDS, SHARE * (now - self._asked_at))
        else:
            wait = seconds
        self._sleep(min(seconds, wait))

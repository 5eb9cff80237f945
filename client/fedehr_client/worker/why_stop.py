"""`WhyStop`: why work that is under way has to stop; asked often, looked up once a second."""

import time
from collections.abc import Callable

LOOK_SECONDS = 1.0


class WhyStop:
    """The first reason that one of several askers gives; kept once it is there."""

    def __init__(
        self, *askers: Callable[[], str | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._askers = askers
        self._clock = clock
        self._looked = float("-inf")
        self._reason: str | None = None

    def __call__(self) -> str | None:
        """The reason; None: go on."""
        if self._reason is None and self._clock() - self._looked >= LOOK_SECONDS:
            self._reason = next(filter(None, (ask() for ask in self._askers)), None)
            self._looked = self._clock()
        return self._reason

"""`Ending`: whether the worker was told to end, and that it does in time whatever it waits for."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

GRACE_SECONDS = 8.0
"""Ten seconds after SIGTERM nothing of the worker is left."""


class Ending:
    """Set by SIGTERM, SIGINT or SIGHUP; never unset."""

    def __init__(self, grace_seconds: float = GRACE_SECONDS) -> None:
        self._event = threading.Event()
        self._grace_seconds = grace_seconds
        self._last_acts: list[Callable[[], None]] = []

    def listen(self) -> None:
        """Take the signals, in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def at_last(self, act: Callable[[], None]) -> None:
        """What to do when the time is up and the worker is still waiting for something."""
        self._last_acts.append(act)

    @property
    def is_near(self) -> bool:
        """Whether the worker was told to end."""
        return self._event.is_set()

    def why(self) -> str | None:
        """Why no work is begun or continued; None: go on."""
        return "the node stops" if self.is_near else None

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; whether the worker was told to end."""
        return self._event.wait(seconds)

    def set(self) -> None:
        """Tell the worker to end."""
        if self._event.is_set():
            return
        self._event.set()
        timer = threading.Timer(self._grace_seconds, self._force)
        timer.daemon = True
        timer.start()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.set()

    def _force(self) -> None:
        try:
            for act in self._last_acts:
                act()
        finally:
            # A call of the SuperNode that hangs can be ended in no other way.
            os._exit(1)

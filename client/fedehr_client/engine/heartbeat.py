"""`Heartbeat`: tells the SuperNode that a task is worked on, and learns when it was taken back.

The engine's own one interrupts the whole process when a task was taken back.
"""

import threading
from collections.abc import Callable

from fedehr_client.engine.errors import RuntimeAwayError

BEAT_SECONDS = 10.0
"""The SuperNode takes a task back after 60 seconds without one."""


class Heartbeat:
    """Beats in a thread of its own until it is stopped or the task is lost."""

    def __init__(self, beat: Callable[[], bool], beat_seconds: float = BEAT_SECONDS) -> None:
        self._beat = beat
        self._beat_seconds = beat_seconds
        self._stopped, self._lost = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    @property
    def is_lost(self) -> bool:
        """Whether the SuperNode took the task back."""
        return self._lost.is_set()

    def start(self) -> None:
        """Beat from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; a beat under way is not waited for."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._beat_seconds):
            try:
                is_ours = self._beat()
            except RuntimeAwayError:
                continue
            if not is_ours:
                self._lost.set()
                return

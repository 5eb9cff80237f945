"""`RunLock`: at most one supervisor a node, and who that is.

The system gives the lock back when its holder ends, however it ends: there is no stale one.
"""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import IO

LOCK_FILE = "supervisor.lock"
_TRIES_SECONDS = 1.0
_PAUSE_SECONDS = 0.05


class RunLock:
    """The lock file in a node's state folder."""

    def __init__(self, state: Path) -> None:
        """`state` is the node's state folder."""
        self._file = state / LOCK_FILE
        self._stream: IO[str] | None = None

    def acquire(self) -> bool:
        """Take it for this process; returns whether nobody else held it."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        stream = os.fdopen(descriptor, "r+", encoding="ascii")
        # Someone who only asks holds it for a moment too.
        deadline = time.monotonic() + _TRIES_SECONDS
        while not _lock(stream, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                stream.close()
                return False
            time.sleep(_PAUSE_SECONDS)
        stream.truncate()
        stream.write(str(os.getpid()))
        stream.flush()
        self._stream = stream
        return True

    def holder(self) -> int | None:
        """The process that holds it; None where nobody does."""
        try:
            stream = self._file.open(encoding="ascii")
        except FileNotFoundError:
            return None
        with stream:
            deadline = time.monotonic() + _TRIES_SECONDS
            while not _lock(stream, fcntl.LOCK_SH):
                stream.seek(0)
                if (text := stream.read()).isdigit():
                    return int(text)
                if time.monotonic() > deadline:
                    break
                time.sleep(_PAUSE_SECONDS)
        return None

    def release(self) -> None:
        """Give it back."""
        if self._stream is not None:
            self._stream.truncate(0)
            self._stream.close()
            self._stream = None

    def __enter__(self) -> "RunLock":
        """Held already, by `acquire`."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it back."""
        self.release()


def _lock(stream: IO[str], how: int) -> bool:
    try:
        fcntl.flock(stream, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

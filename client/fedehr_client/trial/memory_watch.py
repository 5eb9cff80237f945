"""`MemoryWatch`: the most memory that each kind of a node's processes held at once."""

import contextlib
import threading
from collections import Counter
from types import TracebackType

import psutil

from fedehr_shared.processes import POLL_SECONDS

_KINDS = {
    "fedehr_client.child": "study process",
    "fedehr_client.worker": "worker",
    "flower-supernode": "engine",
}
_OTHER = "supervisor"


class MemoryWatch:
    """Looks at a process and its descendants several times a second, in a thread.

    Attributes:
        peak_bytes: by kind of process, of all of that kind together.
        peak_total_bytes: of all kinds at one moment.
    """

    def __init__(self, pid: int) -> None:
        """`pid` is the first process."""
        self.peak_bytes: Counter[str] = Counter()
        self.peak_total_bytes = 0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "MemoryWatch":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(2 * POLL_SECONDS):
            held = _held(self._pid)
            self.peak_bytes |= held
            self.peak_total_bytes = max(self.peak_total_bytes, held.total())


def _held(pid: int) -> Counter[str]:
    held: Counter[str] = Counter()
    # A process may end between being listed and being looked at.
    with contextlib.suppress(psutil.Error):
        first = psutil.Process(pid)
        for process in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                held[_kind(process.cmdline())] += process.memory_info().rss
    return held


def _kind(command: list[str]) -> str:
    words = " ".join(command)
    return next((kind for mark, kind in _KINDS.items() if mark in words), _OTHER)

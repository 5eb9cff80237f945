"""`AnswerPulls`: asks the engine for each owed answer in a thread of its own.

Of an answer that was announced the engine gives nothing before it has all of it: over a slow line
that takes minutes, and where the node was killed in the middle of its upload, three of them. No
other answer waits for that, nor does a round's deadline.
"""

import threading
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from flwr.app import Message
from flwr.serverapp import Grid

_LEAST_SECONDS = 0.1
"""Between two questions for one answer."""
_MOST_A_SECOND = 30.0
"""Questions for all answers together."""
_MOST_AT_ONCE = 16
"""Answers that are on their way or wait to be taken: each may be as large as a model."""


@dataclass(eq=False)
class _Owed:
    node: int
    message_id: str
    is_forgotten: threading.Event = field(default_factory=threading.Event)


class AnswerPulls:
    """What nodes owe; one caller expects and takes."""

    def __init__(self, grid: Grid) -> None:
        """Nothing is expected yet."""
        self._grid = grid
        self._owed: dict[int, _Owed] = {}
        self._found: SimpleQueue[tuple[_Owed, Message | Exception]] = SimpleQueue()
        self._room = threading.Semaphore(_MOST_AT_ONCE)

    def forget(self, node: int) -> None:
        """What a node owes is not wanted any more."""
        owed = self._owed.pop(node, None)
        if owed is not None:
            owed.is_forgotten.set()

    def expect(self, node: int, message_id: str) -> None:
        """Ask from now on for a node's answer to a message; an earlier one is forgotten."""
        self.forget(node)
        owed = self._owed[node] = _Owed(node, message_id)
        # The process may end while the engine still waits for the rest of an answer.
        threading.Thread(target=self._pull, args=(owed,), daemon=True).start()

    def take(self) -> list[tuple[int, Message]]:
        """Answers that came since the last call, each with its node.

        Raises:
            Exception: whatever the engine raised.
        """
        taken: list[tuple[int, Message]] = []
        while True:
            try:
                owed, found = self._found.get_nowait()
            except Empty:
                return taken
            self._room.release()
            if owed.is_forgotten.is_set():
                continue
            del self._owed[owed.node]
            if isinstance(found, Exception):
                raise found
            taken.append((owed.node, found))

    def _pull(self, owed: _Owed) -> None:
        while not owed.is_forgotten.wait(max(_LEAST_SECONDS, len(self._owed) / _MOST_A_SECOND)):
            self._room.acquire()
            found = self._asked(owed)
            if found is not None:
                self._found.put((owed, found))
                return
            self._room.release()

    def _asked(self, owed: _Owed) -> Message | Exception | None:
        try:
            return next(iter(self._grid.pull_messages([owed.message_id])), None)
        except Exception as error:  # whatever the engine raises is the caller's to hear
            return error

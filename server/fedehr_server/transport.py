"""`Transport`: how work reaches nodes and answers come back; Flower's grid is one."""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from fedehr_shared.wire.payload import Payload


class Absence(Enum):
    """In place of an answer: the transport knows that none will come."""

    AWAY = "away"
    """The node is not connected now; the request is lost."""


class Transport(Protocol):
    """Pushes work to nodes and pulls their answers."""

    def nodes(self) -> frozenset[int]:
        """The nodes that are connected now."""
        ...

    def push(self, node: int, payload: Payload) -> None:
        """Send work to a node; an earlier request to it, if unanswered, is forgotten."""
        ...

    def pull(self) -> Sequence[tuple[int, Payload | Absence | None]]:
        """Answers that came since the last call, each with its node; None: the node is gone
        or its answer cannot be read."""
        ...

    def wait(self) -> None:
        """Sleep until it is worth pulling again."""
        ...

"""`Transport`: how work reaches nodes and answers come back; Flower's grid is one."""

from typing import Protocol

from fedehr_shared.wire.payload import Payload


class Transport(Protocol):
    """Pushes work to nodes and pulls their answers."""

    def nodes(self) -> frozenset[int]:
        """The nodes that are connected now."""
        ...

    def push(self, node: int, payload: Payload) -> None:
        """Send work to a node; an earlier request to it, if unanswered, is forgotten."""
        ...

    def pull(self) -> list[tuple[int, Payload | None]]:
        """Answers that came since the last call, each with its node; None: the node is gone
        or its answer cannot be read."""
        ...

    def wait(self) -> None:
        """Sleep until it is worth pulling again."""
        ...

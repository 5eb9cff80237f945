"""What the state machine hears, and what it asks for."""

from dataclasses import dataclass

from fedehr_shared.wire.work import WorkId


@dataclass(frozen=True)
class NodesSeen:
    """The nodes that are connected now."""

    nodes: frozenset[int]


@dataclass(frozen=True)
class Answered:
    """A node finished its work."""

    node: int
    work: WorkId


@dataclass(frozen=True)
class Failed:
    """A node answered with an error code, or its answer was refused."""

    node: int
    work: WorkId
    code: str


@dataclass(frozen=True)
class DeadlinePassed:
    """The time for joining, or for this round, is over."""


Event = NodesSeen | Answered | Failed | DeadlinePassed


@dataclass(frozen=True)
class Push:
    """Ask a node for work; `again` when it failed before in this round."""

    node: int
    work: WorkId
    again: bool


@dataclass(frozen=True)
class PushLater:
    """Ask a node for the same again after a while: it could not answer yet."""

    node: int
    work: WorkId


@dataclass(frozen=True)
class Open:
    """A round begins; its deadline counts from now."""

    work: WorkId
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class Close:
    """Enough answers are in: add up, keep a checkpoint, go on."""

    work: WorkId
    nodes: tuple[int, ...]
    missing: tuple[tuple[int, str], ...]
    """Nodes that were asked and did not count, each with its code."""


@dataclass(frozen=True)
class Finish:
    """All rounds are closed."""


@dataclass(frozen=True)
class Abort:
    """The study cannot go on; `code` is the most frequent reason."""

    code: str
    reason: str


Action = Push | PushLater | Open | Close | Finish | Abort

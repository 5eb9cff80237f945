"""`Problem`: why a node has not joined, for a person at the site."""

from dataclasses import dataclass
from enum import StrEnum

from fedehr_client.node.folder import NodeFolder
from fedehr_client.site import ConnectionConfig


class Kind(StrEnum):
    """What is wrong."""

    UNREACHABLE = "unreachable"
    """No connection, no TLS, or a certificate of somebody else."""
    LAPSING = "lapsing"
    """The coordinator still holds this site's last connection; it lapses within a minute."""
    UNKNOWN_KEY = "unknown key"
    """The coordinator has never let this key in."""
    REMOVED_KEY = "removed key"
    """It did, and does no more."""
    CLOCK = "clock"
    """The signature, which carries the time, was refused."""
    ENDED = "ended"
    """The SuperNode ended or did not join, for a reason that only its log tells."""


_NEEDS_A_PERSON = frozenset({Kind.UNKNOWN_KEY, Kind.REMOVED_KEY, Kind.CLOCK})


@dataclass(frozen=True)
class Problem:
    """One kind, with the sentence that says what to do."""

    kind: Kind
    message: str

    @property
    def needs_a_person(self) -> bool:
        """Whether time alone does not mend it."""
        return self.kind in _NEEDS_A_PERSON


def unreachable(message: str) -> Problem:
    """`message` says why, and the next step."""
    return Problem(Kind.UNREACHABLE, message)


def no_answer(network: ConnectionConfig) -> Problem:
    """Somebody listens, but the engine gets no answer."""
    return Problem(
        Kind.UNREACHABLE,
        f"{network.coordinator} does not answer the node. If that lasts, ask the coordinator "
        "(`fedehr-server status`).",
    )


def lapsing() -> Problem:
    """After a node was killed."""
    return Problem(
        Kind.LAPSING,
        "the coordinator still holds this site's last connection, which lapses within a minute; "
        "trying again ...",
    )


def unknown_key(network: ConnectionConfig) -> Problem:
    """Not registered, or at another coordinator."""
    return Problem(
        Kind.UNKNOWN_KEY,
        f"{network.coordinator} does not know this site's key. Give the coordinator "
        f"{network.private_key}.pub and ask it to run `fedehr-server site add`.",
    )


def removed_key(network: ConnectionConfig) -> Problem:
    """Registered once."""
    return Problem(
        Kind.REMOVED_KEY,
        f"{network.coordinator} no longer lets this site's key in: it was removed, or another "
        "node is using it. Ask the coordinator (`fedehr-server site list`).",
    )


def wrong_clock(network: ConnectionConfig) -> Problem:
    """Or a key that does not fit its registration."""
    return Problem(
        Kind.CLOCK,
        f"{network.coordinator} refused this site's signature, which carries the time. Set this "
        "machine's clock (NTP) and start again.",
    )


def ended(node: NodeFolder, network: ConnectionConfig) -> Problem:
    """The engine gave no reason that is known."""
    return Problem(
        Kind.ENDED,
        f"the node did not join {network.coordinator}. Read the end of {node.log_file}.",
    )

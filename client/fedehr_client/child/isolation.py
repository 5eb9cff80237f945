"""`isolate`: this process gives up the network, in each way that the system allows.

To be called before any thread starts and before anything is imported that starts one: a
namespace cannot be left by one thread of several, and a filter holds for its own thread alone.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fedehr_client.child.call_filter import filter_calls
from fedehr_client.child.kernel import CLONE_NEWNET, CLONE_NEWUSER, num_threads, unshare

NETWORK_NAMESPACE = "a network namespace of its own"
USER_NAMESPACE = "a user and a network namespace of its own"
CALL_FILTER = "a filter of system calls"


@dataclass(frozen=True)
class Isolation:
    """What keeps a process from the network.

    Attributes:
        protections: in words; none: nothing does.
        faults: why the others do not, in the system's words.
    """

    protections: tuple[str, ...] = ()
    faults: tuple[str, ...] = field(default=())

    def describe(self) -> str:
        """One sentence for a log."""
        if not self.protections:
            return f"it has the network: {'; '.join(self.faults)}"
        return f"kept from the network by {' and '.join(self.protections)}"


def isolate() -> Isolation:
    """Give up the network for good; what was tried and did not hold is a fault."""
    if num_threads() != 1:
        return Isolation(faults=("threads were running already",))
    protections, faults = [], []
    for name, attempt, holds in _WAYS:
        if name == USER_NAMESPACE and NETWORK_NAMESPACE in protections:
            continue
        try:
            attempt()
        except OSError as error:
            faults.append(f"{name}: {error.strerror}")
            continue
        if holds():
            protections.append(name)
        else:
            faults.append(f"{name}: it does not hold")
    return Isolation(tuple(protections), tuple(faults))


def _own_user() -> None:
    """A user namespace, in which an ordinary user may have a network namespace. It keeps its own
    number and name there, and no rights over anything."""
    user, group = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER | CLONE_NEWNET)
    Path("/proc/self/setgroups").write_text("deny", encoding="utf-8")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="utf-8")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="utf-8")


def _sees_no_interface() -> bool:
    """Whether nothing but this machine's own loopback is there, and it is down."""
    lines = Path("/proc/self/net/dev").read_text(encoding="utf-8").splitlines()[2:]
    names = {line.partition(":")[0].strip() for line in lines}
    return names <= {"lo"}


def _opens_no_socket() -> bool:
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
        try:
            socket.socket(family, socket.SOCK_RAW if family == socket.AF_NETLINK else 1).close()
        except OSError:
            continue
        return False
    return True


_WAYS: tuple[tuple[str, Callable[[], None], Callable[[], bool]], ...] = (
    (NETWORK_NAMESPACE, lambda: unshare(CLONE_NEWNET), _sees_no_interface),
    (USER_NAMESPACE, _own_user, _sees_no_interface),
    (CALL_FILTER, filter_calls, _opens_no_socket),
)

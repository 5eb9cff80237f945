"""`NodeProcesses`: a running node's processes by what they do, and what they hold open."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from fedehr_client.supervision.run_lock import RunLock
from fedehr_shared.processes import ProcessFamily

ROLES = ("supervisor", "supernode", "worker", "child")
_MARKS = {
    "supernode": "flower-supernode",
    "worker": "fedehr_client.worker",
    "child": "fedehr_client.child",
}


class NodeProcesses:
    """Of the node in one folder."""

    def __init__(self, node: Path) -> None:
        self._state = node / "state"

    def all(self) -> dict[int, psutil.Process]:
        """Every process of the node."""
        found = set()
        for record in ("supernode.json", "worker.json"):
            found |= set(ProcessFamily(self._state / record).members())
        if (holder := RunLock(self._state).holder()) is not None:
            found.add(holder)
        processes = {}
        for pid in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                processes[pid] = psutil.Process(pid)
        return processes

    def of(self, role: str) -> list[psutil.Process]:
        """Those of one kind; more than one child where several studies are warm."""
        if role == "supervisor":
            holder = RunLock(self._state).holder()
            return [] if holder is None else [psutil.Process(holder)]
        return [process for process in self.all().values() if _is_of(process, _MARKS[role])]

    def one(self, role: str, seconds: float = 60.0) -> psutil.Process:
        """The only one of its kind, once it is there."""
        deadline = time.monotonic() + seconds
        while len(found := self.of(role)) != 1:
            assert time.monotonic() < deadline, f"{len(found)} processes are a {role}"
            time.sleep(0.05)
        return found[0]

    def kill(self, role: str) -> int:
        """`kill -9`; returns whom."""
        process = self.one(role)
        os.kill(process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while _is_alive(process):
            assert time.monotonic() < deadline, f"{role} survives kill -9"
            time.sleep(0.01)
        return process.pid

    def peak_bytes(self, role: str) -> int:
        """The most memory that the process ever had resident."""
        status = Path(f"/proc/{self.one(role).pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1_024

    def listening(self) -> Iterator[tuple[str, int]]:
        """Addresses and ports on which any of them listens."""
        for process in self.all().values():
            with contextlib.suppress(psutil.NoSuchProcess):
                for link in process.net_connections("inet"):
                    if link.status == psutil.CONN_LISTEN or (
                        link.type.name == "SOCK_DGRAM" and not link.raddr
                    ):
                        yield link.laddr.ip, link.laddr.port

    def sockets(self, role: str) -> list[str]:
        """What a process holds open that is a socket."""
        process = self.one(role)
        found = []
        for entry in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(entry.readlink())
                if target.startswith("socket:"):
                    found.append(target)
        return found

    def loaded(self, role: str, name: str) -> bool:
        """Whether a library whose path holds `name` is mapped into the process."""
        return name in Path(f"/proc/{self.one(role).pid}/maps").read_text()


def _is_alive(process: psutil.Process) -> bool:
    """A dead process that its parent has not heard of yet is dead."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _is_of(process: psutil.Process, mark: str) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return any(mark in word for word in process.cmdline())
    return False

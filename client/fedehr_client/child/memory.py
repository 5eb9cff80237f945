"""What a process that computes holds of the machine's memory, and how much there is."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from fedehr_client.child.config import LimitsConfig

_SHARE = 0.9
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_OWN = ("RssAnon:", "RssShmem:")


def memory_limit(limits: LimitsConfig) -> int:
    """Bytes that one such process may hold: the site's, or nine tenths of the machine."""
    return limits.max_memory_bytes or int(_SHARE * min(_machine_bytes(), _container_bytes()))


def held_bytes(pid: int) -> int:
    """Resident memory of a process and of those it started, without what the system may take
    back at any time: the pages of files, as the token store's are.

    0 where the process has ended, or the system shows it to nobody else.
    """
    return sum(map(_own_bytes, _family(pid)))


def _family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(psutil.Error):
        yield from (process.pid for process in psutil.Process(pid).children(recursive=True))


def _own_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return 0
    own = [line.split() for line in lines if line.startswith(_OWN)]
    return sum(1024 * int(words[1]) for words in own)


def _machine_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _container_bytes() -> float:
    """Of a container (cgroup 2)."""
    try:
        return int(_CGROUP_LIMIT.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return float("inf")

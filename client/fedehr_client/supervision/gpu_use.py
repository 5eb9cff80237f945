"""`GpuUse`: whether somebody else computes on this machine's GPU.

`nvidia-smi` lists the processes. Inside a container it may list them by numbers that mean
nothing there: then as many of them are taken for the node's own as processes of the node hold
a GPU open.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

CACHE_SECONDS = 5.0
QUERY_SECONDS = 10.0
PROGRAM = "nvidia-smi"


class GpuUse:
    """The GPU's processes that are not of this process's tree, asked for every few seconds."""

    def __init__(
        self,
        query: "Callable[[], list[int] | None] | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`query` lists all process ids on the GPU, None where they cannot be told."""
        self._query = query or computing_processes
        self._clock = clock
        self._asked = float("-inf")
        self._reason: str | None = None

    def why_taken(self) -> str | None:
        """Why this node must not use the GPU now; None where it may."""
        now = self._clock()
        if now - self._asked >= CACHE_SECONDS:
            self._reason = self._ask()
            self._asked = self._clock()
        return self._reason

    def _ask(self) -> str | None:
        listed = self._query()
        if listed is None:
            return f"{PROGRAM} does not say who uses the GPU"
        own = _own_tree()
        num_others = num_foreign(listed, own, holds_gpu)
        return f"{num_others} other process(es) use the GPU" if num_others else None


def num_foreign(
    listed: Iterable[int], own: frozenset[int], holds: Callable[[int], bool | None]
) -> int:
    """How many of the listed processes are somebody else's.

    Args:
        listed: ids of the processes on the GPU.
        own: ids of the node's processes.
        holds: whether a process has a GPU open; None where there is no such process.
    """
    others = [pid for pid in listed if pid not in own]
    unknown = [pid for pid in others if not holds(pid)]
    num_own = sum(bool(holds(pid)) for pid in own.difference(listed))
    return len(others) - len(unknown) + max(0, len(unknown) - num_own)


def holds_gpu(pid: int) -> bool | None:
    """Whether a process has a GPU open; None: there is no such process.

    Of another user's process, which cannot be looked at, the list is believed.
    """
    folder = Path("/proc") / str(pid) / "fd"
    try:
        return any(_link(entry).startswith("/dev/nvidia") for entry in folder.iterdir())
    except PermissionError:
        return True
    except OSError:
        return None


def computing_processes() -> list[int] | None:
    """Ids of the processes that compute on a GPU; none without `nvidia-smi`, so without a GPU.

    Only GPUs that `CUDA_VISIBLE_DEVICES` names count, where it is set.

    Returns:
        None where `nvidia-smi` fails or takes too long.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip()
    chosen = ["--id", visible] if visible else []
    command = [program, *chosen, "--query-compute-apps=pid", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=QUERY_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    words = (line.strip() for line in done.stdout.splitlines())
    return [int(word) for word in words if word.isascii() and word.isdigit()]


def _own_tree() -> frozenset[int]:
    here = psutil.Process()
    return frozenset({here.pid, *(child.pid for child in here.children(recursive=True))})


def _link(entry: Path) -> str:
    try:
        return os.readlink(entry)
    except OSError:
        return ""

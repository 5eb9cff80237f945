"""How much memory is left, on a device or in the machine."""

import os
import resource
from pathlib import Path

import psutil
import torch

from fedehr_client.child.environment import MEMORY_BYTES

_CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int:
    """Bytes that this process can still take on `device`.

    On a CPU the least of what the machine, a container's limit (cgroup 2), the site file's and
    the process's own limits leave. On CUDA what torch holds without using it counts as free.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + unused)
    machine = psutil.virtual_memory().available
    return int(max(0, min(machine, _left_of_cgroup(), _left_of_site(), _left_of_limits())))


def _left_of_cgroup() -> float:
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return float("inf")
    return float("inf") if limit == "max" else int(limit) - used


def _left_of_site() -> float:
    """Of what the node lets one of its processes hold: more, and it would be ended."""
    limit = os.environ.get(MEMORY_BYTES)
    if limit is None:
        return float("inf")
    memory = psutil.Process().memory_info()
    return int(limit) - (memory.rss - getattr(memory, "shared", 0))


def _left_of_limits() -> float:
    memory = psutil.Process().memory_info()
    limits = (
        (resource.RLIMIT_AS, memory.vms),
        (resource.RLIMIT_DATA, getattr(memory, "data", 0)),
    )
    softs = [(resource.getrlimit(kind)[0], used) for kind, used in limits]
    left = [soft - used for soft, used in softs if soft != resource.RLIM_INFINITY]
    return min(left, default=float("inf"))

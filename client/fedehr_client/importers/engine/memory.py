"""How much of the import's memory is DuckDB's, and with how many threads it works."""

import os
import re
from dataclasses import dataclass

import psutil

from fedehr_shared.errors import UsageError

OUTSIDE_BYTES = 100_000_000
"""What neither the base nor DuckDB counts: Arrow batches, Parquet writers, and the buffers of
DuckDB's merge. They take up to 160 MB (measured at 10 M events); the rest is what may lie
above the limit."""
LEAST_DATABASE_BYTES = 60_000_000
"""Below it DuckDB cannot hold the blocks of one external sort."""
BYTES_A_THREAD = 150_000_000


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip


@dataclass(frozen=True)
class MemoryPlan:
    """Shares of the limit."""

    database_bytes: int
    num_threads: int


def plan_memory(limit_bytes: int) -> MemoryPlan:
    """Divide `limit_bytes` between this process as it is now and DuckDB.

    Raises:
        UsageError: too little is left to work with.
    """
    base_bytes = psutil.Process().memory_info().rss + OUTSIDE_BYTES
    left_bytes = limit_bytes - base_bytes
    if left_bytes < LEAST_DATABASE_BYTES:
        needed = -(-(base_bytes + LEAST_DATABASE_BYTES) // 10**6)
        raise UsageError(
            f"a memory limit of {limit_bytes // 10**6} MB is too small: the program itself takes "
            f"{base_bytes // 10**6} MB. Give --memory-limit {needed}MB or more."
        )
    num_threads = max(1, min(_num_processors(), left_bytes // BYTES_A_THREAD))
    return MemoryPlan(left_bytes, int(num_threads))


def parse_bytes(text: str) -> int:
    """A number of bytes, as `300MB`, `1.5 GB` or `2GiB`.

    Raises:
        UsageError: it is none.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Z]*)", text.strip().upper())
    if not found or found.group(2) not in _UNITS:
        raise UsageError(f"'{text}' is no amount of memory. Write it as 300MB, 1GB or 2GiB.")
    return int(float(found.group(1)) * _UNITS[found.group(2)])


def _num_processors() -> int:
    return len(os.sched_getaffinity(0))

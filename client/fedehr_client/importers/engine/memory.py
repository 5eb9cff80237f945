"""How much of the import's memory is DuckDB's, and with how many threads it works."""

import os
from dataclasses import dataclass

import psutil

from fedehr_shared.errors import UsageError

OUTSIDE_BYTES = 30_000_000
"""Arrow batches, Parquet writers and allocator slack: what neither the base nor DuckDB counts."""
LEAST_DATABASE_BYTES = 100_000_000
"""Below it DuckDB cannot hold the blocks of one external sort."""
BYTES_A_THREAD = 100_000_000


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


def _num_processors() -> int:
    return len(os.sched_getaffinity(0))

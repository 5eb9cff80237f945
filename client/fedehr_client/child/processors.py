"""`processors`: which of the machine's a process that computes may run on."""

import logging
import os

log = logging.getLogger("fedehr.client")


def machine_processors() -> list[int]:
    """Those that this process may run on: fewer than the machine's in a container or a service."""
    return sorted(os.sched_getaffinity(0))


def processors(num_cpus: int | None) -> list[int]:
    """The first so many of the machine's; none where all may be used.

    A site file may come from a larger machine: what it asks for beyond this one is not there to
    be had, and no reason to refuse studies. It is written down.

    Args:
        num_cpus: `[limits] num_cpus` of the site file; None: all.
    """
    if num_cpus is None:
        return []
    there = machine_processors()
    if num_cpus > len(there):
        log.warning(
            "[limits] num_cpus is %d, and there are %d processors: taking %d",
            num_cpus,
            len(there),
            len(there),
        )
    return there[:num_cpus]

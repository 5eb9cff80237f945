"""`LimitsConfig`: a site file's `[limits]`."""

from typing import Annotated

from pydantic import Field

from fedehr_shared.config.section import Section


class LimitsConfig(Section):
    """What the processes that compute may take of the machine."""

    max_memory_bytes: Annotated[int, Field(ge=256 * 2**20)] | None = None
    """Of one such process; beyond it the process is ended and the work answered by an error.
    Left out, nine tenths of what the machine has."""
    num_cpus: Annotated[int, Field(ge=1, le=4_096)] | None = None
    """Processors that such a process may run on; left out, or more than there are, all."""
    num_warm_studies: Annotated[int, Field(ge=1, le=64)] = 2
    """Studies whose process stays between rounds."""
    require_isolation: bool = True
    """Refuse to compute where the system lets no process give up the network: neither a
    namespace of its own nor a filter of system calls."""

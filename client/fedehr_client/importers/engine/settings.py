"""`ImportSettings`: what the command line says, the same for every importer."""

from dataclasses import dataclass
from pathlib import Path

DEFAULT_MEMORY_LIMIT_BYTES = 10**9


@dataclass(frozen=True)
class ImportSettings:
    """How an import runs.

    Attributes:
        memory_limit_bytes: of the whole process; peak resident memory stays within 1.3
            times it.
        temp_folder: where the private folder of spill files is made; null: beside the result.
        split_key: key of the splits by subject; null: the one of the folder that is replaced,
            or a fixed one.
        timezone: IANA name; local times become UTC. Null: local times are kept as they are.
        replace: re-import over an existing folder.
        max_bad_share: more bad rows than this share of a table refuses the import.
    """

    memory_limit_bytes: int = DEFAULT_MEMORY_LIMIT_BYTES
    temp_folder: Path | None = None
    split_key: str | None = None
    timezone: str | None = None
    replace: bool = False
    max_bad_share: float = 0.01

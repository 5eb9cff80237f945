"""`Audit`: what happened at a site, in a file of chained lines (`chained_file.py`).

    {"time": "2026-11-23T01:15:00.000+00:00", "event": "erase", ..., "previous": "<sha256>"}

Keep `AuditState.last_hash` somewhere else to notice lines that were cut off the end, or a file
that was written anew. What a crash leaves of a line is counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedehr_client.chained_file import NO_LINE, ChainedFile, append, last_digest, next_line
from fedehr_shared.errors import DataError

AUDIT_FILE = "audit.jsonl"

_OWN_KEYS = frozenset({"time", "event", "previous"})

Fact = str | int | float | bool | None
"""What a line may say; never a subject's identifier, code or value."""


@dataclass(frozen=True)
class AuditState:
    """A whole chain.

    Attributes:
        num_lines: whole lines.
        num_torn: further lines, cut short by a crash or a full disk.
        last_hash: sha256 of the last whole line, in hex; `NO_LINE` where there is none.
    """

    num_lines: int
    num_torn: int
    last_hash: str


class Audit:
    """The audit file of one site, made readable by its owner only."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._chain = ChainedFile(file, "the audit")

    def append(self, event: str, facts: Mapping[str, Fact]) -> None:
        """Add a line; it is on the disk when this returns.

        Writers in other processes wait for one another.

        Raises:
            DataError: the file cannot be written.
            ValueError: `facts` holds a key that every line has of its own.
        """
        if _OWN_KEYS & facts.keys():
            raise ValueError(f"facts may not hold {sorted(_OWN_KEYS & facts.keys())}")
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event}
        try:
            with self._chain.opened() as stream:
                append(stream, [next_line({**line, **facts}, last_digest(stream))])
        except OSError as error:
            raise DataError(
                f"cannot write the audit {self.file}: {error.strerror}. "
                "Mend its permissions or free the disk, and repeat the command."
            ) from error

    def verify(self) -> AuditState:
        """Follow the chain from its first line to its last.

        Raises:
            DataError: the file cannot be read, or a line does not follow the one before.
        """
        last_hash, num_lines, num_torn = NO_LINE, 0, 0
        for line in self._chain.lines():
            if line.content is None:
                num_torn += 1
                continue
            last_hash = line.digest
            num_lines += 1
        return AuditState(num_lines, num_torn, last_hash)

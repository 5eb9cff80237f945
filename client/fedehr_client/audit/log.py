"""`Audit`: what happened at a site, in a file of chained lines (`chained_file.py`).

    {"time": "2026-11-23T01:15:00.000+00:00", "event": "erase", ..., "previous": "<sha256>"}

A small file beside it (`head.py`) says where it ends, so that lines cut off the end are missed.
Keep `AuditState.last_hash` somewhere else to notice that both were written anew. What a crash
leaves of a line is counted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from fedehr_client.audit.head import AuditHead
from fedehr_client.chained_file import (
    NO_LINE,
    ChainedFile,
    ChainedLine,
    append,
    last_digest,
    next_line,
    parse_line,
)
from fedehr_shared.errors import DataError

AUDIT_FILE = "audit.jsonl"

_CUT = "cut_after"
"""Key of a line that found others before it cut off: the hash of the last one that was lost, or
`unknown` where the head was missing and may have told of more."""
_OWN_KEYS = frozenset({"time", "event", "previous", _CUT})

Fact = str | int | float | bool | None
"""What a line may say; never a subject's identifier, code or value."""


@dataclass(frozen=True)
class AuditState:
    """A whole chain.

    Attributes:
        num_lines: whole lines.
        num_torn: further lines, cut short by a crash or a full disk.
        last_hash: sha256 of the last whole line, in hex; `NO_LINE` where there is none.
        fault: what the chain alone does not show, in words: lines that were cut off; empty
            where nothing was.
    """

    num_lines: int
    num_torn: int
    last_hash: str
    fault: str = ""


class Audit:
    """The audit file of one site, made readable by its owner only."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.head_file = file.with_suffix(".head")
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
                self._append(stream, {**line, **facts})
        except OSError as error:
            raise DataError(
                f"cannot write the audit {self.file}: {error.strerror}. "
                "Mend its permissions or free the disk, and repeat the command."
            ) from error

    def verify(self) -> AuditState:
        """Follow the chain from its first line to its last, and compare it with its head.

        Raises:
            DataError: a file cannot be read, or a line does not follow the one before. Lines cut
                off the end are told by `AuditState.fault`.
        """
        last_hash, num_lines, num_torn = NO_LINE, 0, 0
        head, is_met, cuts = AuditHead.read(self.head_file), False, []
        for line in self._chain.lines():
            if line.content is None:
                num_torn += 1
                continue
            last_hash = line.digest
            num_lines += 1
            is_met |= head == AuditHead(num_lines, last_hash)
            if _CUT in line.content:
                cuts.append(line.number)
        fault = _fault(num_lines, head, cuts, is_met=is_met or head == AuditHead())
        return AuditState(num_lines, num_torn, last_hash, fault)

    def lines(self) -> Iterator[dict[str, Any]]:
        """What each whole line says, in their order; the chain is followed.

        Raises:
            DataError: as `verify`.
        """
        yield from (line.content for line in self._chain.lines() if line.content is not None)

    def hashes(self) -> Iterator[str]:
        """The hash of each whole line, in their order; the chain is followed.

        Raises:
            DataError: as `verify`.
        """
        yield from (line.digest for line in self._chain.lines() if line.content is not None)

    def _append(self, stream: IO[bytes], line: Mapping[str, object]) -> None:
        head, last = AuditHead.read(self.head_file), last_digest(stream)
        cut: dict[str, object] = {}
        if head is None or head.last_hash != last:
            found = _counted(stream)
            expected = "unknown" if head is None else head.last_hash
            if expected not in {NO_LINE, *found} and (found or head is not None):
                cut = {_CUT: expected}
            head = AuditHead(len(found), last)
        text = next_line({**line, **cut}, last)
        append(stream, [text])
        written = ChainedLine(0, text, None)
        AuditHead(head.num_lines + 1, written.digest).write(self.head_file)


def _counted(stream: IO[bytes]) -> list[str]:
    """Hashes of the whole lines, in their order."""
    stream.seek(0)
    lines = [parse_line(0, text.removesuffix(b"\n")) for text in stream]
    return [line.digest for line in lines if line.content is not None]


def _fault(num_lines: int, head: AuditHead | None, cuts: list[int], *, is_met: bool) -> str:
    if head is None:
        return "the file that says where it ends is missing" if num_lines else ""
    if not is_met:
        where = f"after line {num_lines}" if num_lines < head.num_lines else "at its end"
        return (
            f"it had {head.num_lines} lines and has {num_lines}: lines were cut off or changed "
            f"{where}"
        )
    if cuts:
        return f"lines were cut off before line {cuts[0]}, or its head was missing then"
    return ""

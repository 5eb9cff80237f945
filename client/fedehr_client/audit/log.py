"""`Audit`: an append-only file of JSON lines, each holding the hash of the one before.

    {"time": "2026-11-23T01:15:00.000+00:00", "event": "erase", ..., "previous": "<sha256>"}

A line changed, removed or put in later breaks the chain, and `verify` names it. The chain
alone cannot show that lines were cut off the end, or that the whole file was written anew:
keep `AuditState.last_hash` somewhere else to notice that. What a crash leaves of a line is
no part of the chain; it stays in the file and is counted.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from fedehr_shared.errors import DataError

AUDIT_FILE = "audit.jsonl"
NO_LINE = "0" * 64
"""What the first line holds as `previous`."""

_OWN_KEYS = frozenset({"time", "event", "previous"})
_BLOCK_BYTES = 4_096

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

    def append(self, event: str, facts: Mapping[str, Fact]) -> None:
        """Add a line; it is on the disk when this returns.

        Writers in other processes wait for one another.

        Raises:
            DataError: the file cannot be written.
            ValueError: `facts` holds a key that every line has of its own.
        """
        if _OWN_KEYS & facts.keys():
            raise ValueError(f"facts may not hold {sorted(_OWN_KEYS & facts.keys())}")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self._locked() as stream:
                line = {"time": _now(), "event": event, **facts, "previous": _end_chain(stream)}
                stream.write(json.dumps(line, allow_nan=False).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
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
        for number, line in enumerate(self._lines(), start=1):
            previous = _previous_of(line)
            if previous is None:
                num_torn += 1
                continue
            if previous != last_hash:
                raise DataError(
                    f"line {number} of {self.file} does not follow the line before it: one of the "
                    "two was changed, or lines were removed. Compare the file with a backup."
                )
            last_hash = hashlib.sha256(line).hexdigest()
            num_lines += 1
        return AuditState(num_lines, num_torn, last_hash)

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        with os.fdopen(os.open(self.file, flags, 0o600), "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream

    def _lines(self) -> Iterator[bytes]:
        try:
            with self.file.open("rb") as stream:
                for line in stream:
                    yield line.removesuffix(b"\n")
        except FileNotFoundError:
            return
        except OSError as error:
            raise DataError(
                f"cannot read the audit {self.file}: {error.strerror}. Check its permissions."
            ) from error


def _end_chain(stream: IO[bytes]) -> str:
    """The hash of the last whole line; what a crash left after it gets an end of its own."""
    end = stream.seek(0, os.SEEK_END)
    tail = b""
    while end:
        begin = max(0, end - _BLOCK_BYTES)
        stream.seek(begin)
        tail = stream.read(end - begin) + tail
        end = begin
        # The first piece may be half a line; the file's beginning is the exception.
        for line in reversed(tail.split(b"\n")[1 if begin else 0 :]):
            if _previous_of(line) is not None:
                _end_line(stream, tail)
                return hashlib.sha256(line).hexdigest()
    _end_line(stream, tail)
    return NO_LINE


def _end_line(stream: IO[bytes], tail: bytes) -> None:
    if tail and not tail.endswith(b"\n"):
        stream.write(b"\n")


def _previous_of(line: bytes) -> str | None:
    """What the line holds as `previous`; None where it is no whole line."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    previous = content.get("previous") if isinstance(content, dict) else None
    return previous if isinstance(previous, str) else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

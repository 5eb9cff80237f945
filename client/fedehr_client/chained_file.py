"""`ChainedFile`: an append-only file of JSON lines, each holding the hash of the one before.

A line changed, removed or put in later breaks the chain, and reading names it. The chain alone
cannot show that lines were cut off the end, or that the whole file was written anew. What a
crash leaves of a line is no part of the chain; it stays in the file, and the next line begins
on a line of its own.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fedehr_shared.errors import DataError

NO_LINE = "0" * 64
"""What the first line holds as `previous`."""

_BLOCK_BYTES = 4_096


@dataclass(frozen=True)
class ChainedLine:
    """One line as it stands in a file.

    Attributes:
        number: from 1.
        text: its bytes, without the end of the line.
        content: what it says; None where it is no whole line of a chain.
    """

    number: int
    text: bytes
    content: dict[str, Any] | None

    @property
    def previous(self) -> str:
        """The hash that it gives for the line before."""
        return "" if self.content is None else str(self.content["previous"])

    @property
    def digest(self) -> str:
        """What the next line must hold as `previous`."""
        return hashlib.sha256(self.text).hexdigest()


class ChainedFile:
    """One such file, readable by its owner only."""

    def __init__(self, file: Path, name: str) -> None:
        """Nothing is read or written yet.

        Args:
            file: its folder is made on first use.
            name: what errors call it, for example `the audit`.
        """
        self.file = file
        self._name = name

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """The file, for this process alone until the block ends; made where there is none.

        Raises:
            OSError: it cannot be written.
        """
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        with os.fdopen(os.open(self.file, flags, 0o600), "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream

    def lines(self, stream: IO[bytes] | None = None) -> Iterator[ChainedLine]:
        """Follow the chain from its first line to its last; torn lines among them.

        Args:
            stream: as `opened` gives it; None: read the file, which nobody writes meanwhile.

        Raises:
            DataError: the file cannot be read, or a line does not follow the one before.
        """
        try:
            if stream is not None:
                stream.seek(0)
                yield from self._followed(stream)
                return
            with self.file.open("rb") as own:
                fcntl.flock(own, fcntl.LOCK_SH)
                yield from self._followed(own)
        except FileNotFoundError:
            return
        except OSError as error:
            raise DataError(
                f"cannot read {self._name} {self.file}: {error.strerror}. Check its permissions."
            ) from error

    def _followed(self, stream: Iterable[bytes]) -> Iterator[ChainedLine]:
        last = NO_LINE
        for number, text in enumerate(stream, start=1):
            line = parse_line(number, text.removesuffix(b"\n"))
            if line.content is not None:
                if line.previous != last:
                    raise DataError(
                        f"line {number} of {self.file} does not follow the line before it: one of "
                        "the two was changed, or lines were removed. Compare the file with a "
                        "backup."
                    )
                last = line.digest
            yield line


def parse_line(number: int, text: bytes) -> ChainedLine:
    """A line by its bytes, whatever they are."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return ChainedLine(number, text, None)
    whole = isinstance(content, dict) and isinstance(content.get("previous"), str)
    return ChainedLine(number, text, content if whole else None)


def next_line(content: Mapping[str, object], previous: str) -> bytes:
    """The bytes of a line that follows one with the digest `previous`.

    Raises:
        ValueError: `content` holds NaN or infinity.
    """
    return json.dumps({**content, "previous": previous}, allow_nan=False).encode()


def append(stream: IO[bytes], lines: Iterable[bytes]) -> None:
    """Write lines at the end of an opened file; they are on the disk when this returns.

    Raises:
        OSError: they cannot be written; some of the bytes may have been.
    """
    end = stream.seek(0, os.SEEK_END)
    is_torn = end > 0 and os.pread(stream.fileno(), 1, end - 1) != b"\n"
    stream.write(b"\n" * is_torn + b"".join(line + b"\n" for line in lines))
    stream.flush()
    os.fsync(stream.fileno())


def last_digest(stream: IO[bytes]) -> str:
    """The hash of the last whole line, found from the end of an opened file; `NO_LINE` if none."""
    end = stream.seek(0, os.SEEK_END)
    tail = b""
    while end:
        begin = max(0, end - _BLOCK_BYTES)
        stream.seek(begin)
        tail = stream.read(end - begin) + tail
        end = begin
        # The first piece may be half a line; the file's beginning is the exception.
        for text in reversed(tail.split(b"\n")[1 if begin else 0 :]):
            line = parse_line(0, text)
            if line.content is not None:
                return line.digest
    return NO_LINE

"""`LedgerFile`: the ledger's lines on the disk.

    <work>/privacy/ledger.jsonl   one line an entry, each with the hash of the one before
    <work>/privacy/ledger.last    the newest of them (`last_lines.py`)
    <work>/privacy/spent.jsonl    of earlier versions (`earlier_account.py`), taken over

Lines are only ever added. Every reader goes through all of them, and gives none where one is
wrong: an account that is not whole is no account.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fedehr_client.chained_file import (
    NO_LINE,
    ChainedFile,
    ChainedLine,
    append,
    next_line,
)
from fedehr_client.ledger.earlier_account import earlier_charges
from fedehr_client.ledger.entry import Entry, Opened, entry_of, new_id, now
from fedehr_client.ledger.last_lines import LastLines
from fedehr_client.ledger.study_texts import StudyTexts
from fedehr_client.private_file import sync_folder
from fedehr_shared.errors import DataError

FOLDER_NAME = "privacy"
_NAME = "the account of privacy"


class OpenLedger:
    """A ledger that this process alone may add to.

    Attributes:
        entries: all of them, in the order in which they were written.
    """

    def __init__(self, stream: IO[bytes], last: LastLines, chain: Sequence[ChainedLine]) -> None:
        self._stream = stream
        self._last = last
        self._digest = chain[-1].digest if chain else NO_LINE
        self.entries = [_entry(line) for line in chain]

    def add(self, entries: Sequence[Entry]) -> None:
        """Add entries; they are on the disk when this returns.

        Raises:
            OSError: they cannot be written. They may count nevertheless.
        """
        if not entries:
            return
        lines, digest = [], self._digest
        for entry in entries:
            lines.append(next_line(entry.model_dump(mode="json"), digest))
            digest = ChainedLine(0, lines[-1], None).digest
        self._last.write(lines)
        append(self._stream, lines)
        self._digest = digest
        self.entries += entries


class LedgerFile:
    """The ledger of one work folder."""

    def __init__(self, work: Path, site: str) -> None:
        """Nothing is read or written yet.

        Args:
            work: the site's private folder.
            site: the site's name, for the first line of a new ledger.
        """
        self.folder = work / FOLDER_NAME
        self.file = self.folder / "ledger.jsonl"
        self.studies = StudyTexts(self.folder)
        self._site = site
        self._chain = ChainedFile(self.file, _NAME)
        self._last = LastLines(self.folder / "ledger.last", self.file)

    @contextmanager
    def opened(self) -> Iterator[OpenLedger]:
        """All entries, for this process alone until the block ends; others wait.

        A line that was cut short is written whole, and charges of earlier versions are added.

        Raises:
            DataError: the ledger is damaged, or it cannot be written.
        """
        try:
            self._require_there()
            with self._chain.opened() as stream:
                chain = _whole(self._chain.lines(stream))
                missing = self._last.missing_from(chain)
                if missing:
                    append(stream, [line.text for line in missing])
                ledger = OpenLedger(stream, self._last, [*chain, *missing])
                ledger.add(self._first_entries(ledger.entries))
                yield ledger
        except OSError as error:
            raise DataError(
                f"cannot write {_NAME} {error.filename or self.file}: {error.strerror}. Mend its "
                "permissions or free the disk; nothing was trained or sent."
            ) from error

    def read(self) -> tuple[Entry, ...]:
        """All entries, with those that the next writer will add; nothing is written.

        Raises:
            DataError: the ledger is damaged, or it cannot be read.
        """
        self._require_there()
        chain = self._read_chain()
        entries = [_entry(line) for line in chain]
        return (*entries, *self._not_taken_over(entries))

    def last_digest(self) -> str:
        """The hash of the newest line: written down elsewhere, it shows whether any line of
        today is missing later; `NO_LINE` where there is none."""
        chain = self._read_chain()
        return chain[-1].digest if chain else NO_LINE

    def _read_chain(self) -> list[ChainedLine]:
        try:
            with self.file.open("rb") as lock:
                # Between its two files a writer must not be met half way.
                fcntl.flock(lock, fcntl.LOCK_SH)
                chain = _whole(self._chain.lines(lock))
                return [*chain, *self._last.missing_from(chain)]
        except FileNotFoundError:
            return self._last.missing_from([])
        except OSError as error:
            raise DataError(
                f"cannot read {_NAME} {self.file}: {error.strerror}. Check its permissions."
            ) from error

    def _first_entries(self, entries: Sequence[Entry]) -> list[Entry]:
        if not entries:
            sync_folder(self.folder.parent)
        opening: list[Entry] = [] if entries else [Opened(id=new_id(), time=now(), site=self._site)]
        return [*opening, *self._not_taken_over(entries)]

    def _not_taken_over(self, entries: Sequence[Entry]) -> list[Entry]:
        known = {entry.id for entry in entries}
        return [charge for charge in earlier_charges(self.folder) if charge.id not in known]

    def _require_there(self) -> None:
        """Studies are written down after the ledger's lines about them."""
        if not self.file.exists() and self.studies.digests():
            raise DataError(
                f"{self.file} is gone, and {self.studies.folder} tells of studies that it charged. "
                f"Put it back as it was, or move {self.folder} away and restore a backup with "
                "`fedehr-client budget restore`."
            )


def _whole(lines: Iterator[ChainedLine]) -> list[ChainedLine]:
    """Without what crashes left of lines: those are whole in `ledger.last`, or on the next line."""
    return [line for line in lines if line.content is not None]


def _entry(line: ChainedLine) -> Entry:
    content = {key: value for key, value in (line.content or {}).items() if key != "previous"}
    return entry_of(content, f"line {line.number} of the ledger")

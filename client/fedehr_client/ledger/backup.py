"""Backups of a ledger, and what is restored from them: never less than there was.

    {"fedehr_ledger_backup": 1, "num_lines": 12, "last": "<sha256>"}
    ... the ledger's lines

A restored ledger holds every entry that either of the two holds.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from fedehr_client.chained_file import NO_LINE, ChainedLine, next_line, parse_line
from fedehr_client.ledger.entry import Entry, Opened, entry_of
from fedehr_client.ledger.ledger_file import LedgerFile
from fedehr_client.private_file import write_private
from fedehr_shared.errors import DataError, UsageError

_VERSION = 1
_KEY = "fedehr_ledger_backup"


def write_backup(ledger: LedgerFile, file: Path) -> int:
    """Write all entries to `file`, which must not be there yet; how many they are.

    Raises:
        UsageError: the file is there.
        DataError: the ledger is damaged, or one of the two cannot be written.
    """
    if os.path.lexists(file):
        raise UsageError(f"{file} exists. Name a new file: an old backup may hold more than this.")
    with ledger.opened() as opened:
        lines = _chained(opened.entries)
    header = {_KEY: _VERSION, "num_lines": len(lines), "last": _digest(lines)}
    try:
        write_private(
            file, b"".join(text + b"\n" for text in (json.dumps(header).encode(), *lines))
        )
    except OSError as error:
        raise DataError(
            f"cannot write {file}: {error.strerror}. Name another folder or free the disk."
        ) from error
    return len(lines)


def restore_backup(ledger: LedgerFile, file: Path) -> int:
    """Add what a backup holds and the ledger does not; how many entries that were.

    Raises:
        DataError: the backup is damaged or of another site, or the ledger is damaged or cannot
            be written.
    """
    entries = read_backup(file)
    with ledger.opened() as opened:
        known = {entry.id: entry for entry in opened.entries}
        _require_same_site(opened.entries, entries, file)
        if any(known.get(entry.id, entry) != entry for entry in entries):
            raise DataError(
                f"{file} says otherwise than the ledger of an entry that both hold: one of them "
                "was changed. Nothing was restored; look for another backup."
            )
        missing = [entry for entry in entries if entry.id not in known]
        opened.add(missing)
    return len(missing)


def read_backup(file: Path) -> list[Entry]:
    """The entries of a backup.

    Raises:
        DataError: it cannot be read, was cut or changed, or is none.
    """
    try:
        texts = file.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}. Check the path.") from error
    lines = [parse_line(number, text) for number, text in enumerate(texts[1:], start=2)]
    last = NO_LINE
    for line in lines:
        if line.previous != last:
            raise _damaged(file)
        last = line.digest
    if _header(texts) != {_KEY: _VERSION, "num_lines": len(lines), "last": last}:
        raise _damaged(file)
    return [_entry(line, file) for line in lines]


def _header(texts: Sequence[bytes]) -> object:
    try:
        return json.loads(texts[0]) if texts else None
    except (ValueError, RecursionError):
        return None


def _entry(line: ChainedLine, file: Path) -> Entry:
    content = {key: value for key, value in (line.content or {}).items() if key != "previous"}
    return entry_of(content, f"line {line.number} of {file}")


def _chained(entries: Sequence[Entry]) -> list[bytes]:
    lines: list[bytes] = []
    for entry in entries:
        lines.append(next_line(entry.model_dump(mode="json"), _digest(lines)))
    return lines


def _digest(lines: Sequence[bytes]) -> str:
    return ChainedLine(0, lines[-1], None).digest if lines else NO_LINE


def _require_same_site(own: Sequence[Entry], other: Sequence[Entry], file: Path) -> None:
    """A ledger's first line names it; a site that was set up anew has its name still."""
    opened = [entry for entry in own if isinstance(entry, Opened)]
    kept = [entry for entry in other if isinstance(entry, Opened)]
    ids, names = {entry.id for entry in opened}, {entry.site for entry in opened}
    if any(entry.id in ids or entry.site in names for entry in kept):
        return
    raise DataError(
        f"{file} is a backup of the site {', '.join(sorted(entry.site for entry in kept)) or '?'}, "
        f"and this ledger is of {', '.join(sorted(names))}. Nothing was restored."
    )


def _damaged(file: Path) -> DataError:
    return DataError(
        f"{file} is no whole backup of a ledger: it was cut or changed. Nothing was restored; look "
        "for another one."
    )

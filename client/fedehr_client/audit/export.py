"""An audit for other systems: as JSON lines, or as a table."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any, Literal

from fedehr_client.audit.log import Audit
from fedehr_shared.errors import UsageError

_FIRST = ("time", "event")
_UNSAFE = ("=", "+", "-", "@", "\t", "\r")
"""With one of them at its beginning a spreadsheet takes a cell for a formula."""


def entries(audit: Audit, since: str = "") -> list[dict[str, Any]]:
    """What the lines say, from a time on.

    Args:
        audit: the file; its chain is followed from the beginning.
        since: a date or a time, in UTC where it names no zone; empty: all.

    Raises:
        UsageError: `since` is no time.
        DataError: the file cannot be read, or is not whole.
    """
    begin = None if not since else _time(since)
    return [
        entry
        for entry in audit.lines()
        if begin is None or datetime.fromisoformat(str(entry["time"])) >= begin
    ]


def exported(audit: Audit, form: Literal["jsonl", "csv"], since: str = "") -> str:
    """The entries as text.

    Args:
        audit: the file.
        form: `jsonl`: each line as it stands in the file. `csv`: one column a fact.
        since: as in `entries`.

    Raises:
        UsageError: `since` is no time.
        DataError: the file cannot be read, or is not whole.
    """
    found = entries(audit, since)
    if form == "jsonl":
        return "".join(json.dumps(entry) + "\n" for entry in found)
    columns = sorted({key for entry in found for key in entry} - set(_FIRST))
    table = io.StringIO()
    writer = csv.DictWriter(table, [*_FIRST, *columns], lineterminator="\n")
    writer.writeheader()
    for entry in found:
        writer.writerow({key: _cell(value) for key, value in entry.items()})
    return table.getvalue()


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text} is no time. Write it like 2026-01-31T12:00:00.") from error
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _cell(value: object) -> object:
    is_formula = isinstance(value, str) and value.startswith(_UNSAFE)
    return f"'{value}" if is_formula else value

"""`BadRows`: rows that broke a rule, by table and reason; row numbers, never content."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fedehr_shared.errors import DataError

NUM_LISTED = 100
"""Row numbers kept by table and reason."""


@dataclass
class Reason:
    """Bad rows of one table for one reason; `rows` are the first, counted from 1 without header."""

    num: int = 0
    rows: list[int] = field(default_factory=list)


@dataclass
class TableRows:
    """What was read of one table."""

    num_rows: int = 0
    reasons: dict[str, Reason] = field(default_factory=dict)

    @property
    def num_bad(self) -> int:
        """Bad rows of all reasons; each row counts once."""
        return sum(reason.num for reason in self.reasons.values())

    def to_dict(self) -> dict[str, Any]:
        """As `import.json` holds it."""
        bad = {text: {"num": r.num, "rows": r.rows} for text, r in sorted(self.reasons.items())}
        return {"num_rows": self.num_rows, "bad_rows": bad}


@dataclass
class BadRows:
    """Rows read and rows refused, by table."""

    tables: dict[str, TableRows] = field(default_factory=dict)

    def add_rows(self, table: str, num_rows: int) -> None:
        """`num_rows` more rows of `table` were read, bad ones included."""
        self.tables.setdefault(table, TableRows()).num_rows += num_rows

    def add(self, table: str, reason: str, num: int, rows: Iterable[int] = ()) -> None:
        """`num` more rows of `table` are bad; `rows` are the numbers of the first of them."""
        found = self.tables.setdefault(table, TableRows()).reasons.setdefault(reason, Reason())
        found.num += num
        found.rows = sorted([*found.rows, *rows])[:NUM_LISTED]

    def check(self, table: str, max_share: float) -> None:
        """Refuse a table of which too much is bad.

        Raises:
            DataError: more than `max_share` of its rows are bad.
        """
        read = self.tables.get(table, TableRows())
        if read.num_bad <= max_share * read.num_rows:
            return
        told = "; ".join(_tell(text, reason) for text, reason in sorted(read.reasons.items()))
        raise DataError(
            f"table '{table}': {read.num_bad} of {read.num_rows} rows are bad, more than the "
            f"{max_share:.3g} that is allowed: {told}. Correct the table, or raise "
            "--max-bad-share to leave them out."
        )

    def to_dict(self) -> Mapping[str, Any]:
        """As `import.json` holds it, by table."""
        return {name: table.to_dict() for name, table in sorted(self.tables.items())}


def _tell(text: str, reason: Reason) -> str:
    rows = ", ".join(map(str, reason.rows[:3]))
    where = f" (row {rows}{', ...' if reason.num > 3 else ''})" if rows else ""
    return f"{text}: {reason.num}{where}"

"""`SourceTable`: which columns of a source are read, and as what."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["integer", "number", "text", "time", "date"]
FIRST_YEAR = 1850
"""Nobody alive was born before; earlier dates are fillers, and they leak."""


@dataclass(frozen=True)
class Column:
    """One column that is read.

    Attributes:
        name: as the view calls it.
        kind: `integer` (BIGINT), `number` (DOUBLE), `text` (VARCHAR, trimmed, '' is null),
            `time` (TIMESTAMP, UTC when a zone is set; a date alone is its last second),
            `date` (DATE).
        required: a row without it is a bad row.
        aliases: further names under which a header may hold it.
        formats: of a `time` or `date`, as `strptime` takes them, tried in this order; none:
            the known formats.
        header: the one header that may hold it, in place of name and aliases.
        must_exist: the source must have the column, though its cells may be empty.
    """

    name: str
    kind: Kind
    required: bool = False
    aliases: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    header: str | None = None
    must_exist: bool = False

    @property
    def headers(self) -> tuple[str, ...]:
        """Names under which a header may hold it, the first that is there counts."""
        return (self.name, *self.aliases) if self.header is None else (self.header,)


@dataclass(frozen=True)
class SourceTable:
    """One table that is read.

    Attributes:
        name: as the view is called.
        columns: those not in the file are null in the view, unless they are required or
            must exist.
        last_year: times after it are bad rows; null: one year from now. De-identified
            sources that shift dates into the future say how far.
        null_markers: texts that mean an empty cell, beside the empty cell itself.
        decimal_mark: of numbers that are written as text.
    """

    name: str
    columns: tuple[Column, ...]
    last_year: int | None = None
    null_markers: tuple[str, ...] = ()
    decimal_mark: Literal[".", ","] = "."

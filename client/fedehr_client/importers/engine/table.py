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
        format: of a `time` or `date`, as `strptime` takes it; null: the known formats.
    """

    name: str
    kind: Kind
    required: bool = False
    aliases: tuple[str, ...] = ()
    format: str | None = None


@dataclass(frozen=True)
class SourceTable:
    """One table that is read.

    Attributes:
        name: as the view is called.
        columns: those not in the file are null in the view, unless they are required.
        last_year: times after it are bad rows; null: one year from now. De-identified
            sources that shift dates into the future say how far.
    """

    name: str
    columns: tuple[Column, ...]
    last_year: int | None = None

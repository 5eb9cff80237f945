"""`ColumnBook`: which columns of which tables a mapping reads, and as what."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fedehr_client.importers.csv.mapping import Mapping
from fedehr_client.importers.engine.table import Column, Kind, SourceTable


@dataclass(frozen=True)
class ColumnUse:
    """One reading of one column.

    Attributes:
        header: as the file calls it.
        kind: what its cells must hold.
        formats: of times and dates, else empty.
    """

    header: str
    kind: Kind
    formats: tuple[str, ...] = ()


@dataclass
class ColumnBook:
    """Filled while a mapping becomes SQL; then the tables are opened with what it holds.

    A column that is read in two ways (a text to filter by and a number) becomes two columns.
    """

    uses: dict[str, dict[ColumnUse, str]] = field(default_factory=dict)
    keys: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    """By joined table, the columns of each key by which it is joined."""

    def note(self, table: str, use: ColumnUse) -> str:
        """Note that `table` is read so, and return the name that the column then has."""
        uses = self.uses.setdefault(table, {})
        if use not in uses:
            uses[use] = _free_name(use, set(uses.values()))
        return uses[use]

    def note_key(self, table: str, headers: Iterable[str]) -> tuple[str, ...]:
        """Note that `table` is joined by these, and return the names of the columns."""
        key = tuple(self.note(table, ColumnUse(header, "text")) for header in headers)
        self.keys.setdefault(table, set()).add(key)
        return key

    def tables(self, mapping: Mapping) -> Iterator[SourceTable]:
        """The tables to open."""
        for name, uses in self.uses.items():
            optional = {header.lower() for header in mapping.table(name).optional_columns}
            columns = tuple(
                Column(
                    column,
                    use.kind,
                    header=use.header,
                    must_exist=use.header.lower() not in optional,
                    formats=use.formats,
                )
                for use, column in uses.items()
            )
            yield SourceTable(
                name,
                columns,
                last_year=mapping.source.last_year,
                null_markers=mapping.source.null_markers,
                decimal_mark=mapping.source.decimal_mark,
            )


def _free_name(use: ColumnUse, taken: set[str]) -> str:
    """A plain name: it stands in messages, and in SQL that others write."""
    plain = re.sub(r"[^a-z0-9]+", "_", use.header.lower()).strip("_") or "column"
    if plain not in taken:
        return plain
    name, number = f"{plain}_as_{use.kind}", 1
    while name in taken:
        number += 1
        name = f"{plain}_as_{use.kind}_{number}"
    return name

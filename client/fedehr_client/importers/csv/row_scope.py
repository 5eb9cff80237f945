"""`RowScope`: the columns that one section of a mapping may name, as SQL."""

from dataclasses import dataclass

from fedehr_client.importers.csv.columns import ColumnBook, ColumnUse
from fedehr_client.importers.csv.mapping import Mapping
from fedehr_client.importers.csv.quoting import quote_name, quote_text
from fedehr_client.importers.csv.rows import FilterSection, RowsSection
from fedehr_client.importers.engine.table import Kind
from fedehr_shared.errors import ConfigError

SUBJECT_FUNCTION, VISIT_FUNCTION = "subject_number", "visit_number"
"""Text into 63-bit numbers (see `identity.py`)."""


@dataclass(frozen=True)
class RowScope:
    """One section's table and those joined to it.

    Attributes:
        mapping: the whole file.
        rows: the section.
        book: told of each column that is read.
    """

    mapping: Mapping
    rows: RowsSection
    book: ColumnBook

    def column(self, reference: str, kind: Kind, formats: tuple[str, ...] = ()) -> str:
        """The column that `reference` names, read as `kind`."""
        table, header = self._resolve(reference)
        name = self.book.note(table, ColumnUse(header, kind, formats))
        return f"{quote_name(table)}.{quote_name(name)}"

    def subject(self) -> str:
        """The subject's number."""
        if self.mapping.subject.kind == "number":
            return self._subject_column()
        return f"{SUBJECT_FUNCTION}({self._subject_column()})"

    def no_subject(self) -> str:
        """Whether the row has no subject: told without hashing, which takes its time."""
        return f"({self._subject_column()} IS NULL)"

    def visit(self, reference: str | None) -> str:
        """The hospital stay's number, NULL without one."""
        if reference is None:
            return "CAST(NULL AS BIGINT)"
        if self.mapping.visit.kind == "number":
            return self.column(reference, "integer")
        return f"{VISIT_FUNCTION}({self.column(reference, 'text')})"

    def source(self) -> str:
        """`FROM ... LEFT JOIN ... WHERE ...` of the section."""
        clauses = [f"FROM {quote_name(self.rows.table)}"]
        for join in self.rows.join:
            lookup = f"{quote_name(lookup_of(join.table))} AS {quote_name(join.table)}"
            theirs = self.book.note_key(join.table, join.on.values())
            keys = [
                f"{self.column(own, 'text')} = {quote_name(join.table)}.{quote_name(other)}"
                for own, other in zip(join.on, theirs, strict=True)
            ]
            clauses.append(f"LEFT JOIN {lookup} ON {' AND '.join(keys)}")
        conditions = [self._condition(condition) for condition in self.rows.where]
        if conditions:
            clauses.append(f"WHERE {' AND '.join(conditions)}")
        return " ".join(clauses)

    def _subject_column(self) -> str:
        kind: Kind = "integer" if self.mapping.subject.kind == "number" else "text"
        return self.column(self.rows.subject or self.mapping.subject.column, kind)

    def _resolve(self, reference: str) -> tuple[str, str]:
        table, dot, header = reference.partition(".")
        if not (dot and header) or table not in self.mapping.table_names():
            return self.rows.table, reference
        if table not in self.rows.tables:
            raise ConfigError(
                f"the mapping's section about table '{self.rows.table}' names {reference} but does "
                f'not join that table. Add join = [{{ table = "{table}", on = "..." }}].'
            )
        return table, header

    def _condition(self, condition: FilterSection) -> str:
        column = self.column(condition.column, "text")
        if condition.filled is not None:
            return f"{column} IS {'NOT ' if condition.filled else ''}NULL"
        if condition.none_of is not None:
            return f"({column} IS NULL OR {column} NOT IN ({_texts(condition.none_of)}))"
        wanted = condition.one_of or (condition.equals or "",)
        return f"{column} IN ({_texts(wanted)})"


def lookup_of(table: str) -> str:
    """The name of the copy of `table` that others join."""
    return f"{table} (joined)"


def _texts(texts: tuple[str, ...]) -> str:
    return ", ".join(quote_text(text) for text in texts)

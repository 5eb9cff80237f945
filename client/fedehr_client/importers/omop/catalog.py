"""CDM tables in PostgreSQL's catalog, and the queries that read them."""

from adbc_driver_manager import dbapi

from fedehr_client.importers.engine.table import Column, SourceTable
from fedehr_shared.errors import DataError

_RELATIONS = """
    SELECT n.nspname, c.relname FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE lower(c.relname) = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"""
_COLUMNS = """
    SELECT a.attname, t.typname FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped"""
_INTEGERS = ("int2", "int4", "int8")
_FLOATS = ("float4", "float8")
_TIMES = ("timestamp", "timestamptz")
_TOO_LATE = "9999-12-31"
"""Stands for what Arrow cannot hold (infinity, years beyond); the checks count it as bad."""


def missing_schemas(cursor: dbapi.Cursor, schemas: tuple[str, ...]) -> list[str]:
    """The names that are no schema of the database."""
    cursor.execute("SELECT nspname FROM pg_catalog.pg_namespace")
    known = {row[0] for row in cursor.fetchall()}
    return [name for name in schemas if name not in known]


def find_table(cursor: dbapi.Cursor, table: SourceTable, schemas: tuple[str, ...]) -> str | None:
    """The query for the columns of `table` that are there, under the CDM's names.

    Names match in any case; the first schema that has the table counts.

    Returns:
        The query; None where no schema has the table.

    Raises:
        DataError: it lacks a required column.
    """
    cursor.execute(_RELATIONS, (table.name.lower(),))
    found = sorted(
        (row for row in cursor.fetchall() if row[0] in schemas),
        key=lambda row: (schemas.index(row[0]), row[1]),
    )
    if not found:
        return None
    schema, relation = found[0]
    cursor.execute(_COLUMNS, (schema, relation))
    types = {name.lower(): (name, kind) for name, kind in cursor.fetchall()}
    selected = []
    for column in table.columns:
        known = next((types[n] for n in (column.name, *column.aliases) if n in types), None)
        if known is not None:
            selected.append(f"{_expression(column, *known)} AS {column.name}")
        elif column.required:
            raise DataError(
                f"table '{schema}.{relation}' of the database lacks the column '{column.name}'. "
                "Is it an OMOP CDM 5.3 or 5.4 table?"
            )
    return f"SELECT {', '.join(selected)} FROM {_identifier(schema)}.{_identifier(relation)}"


def _expression(column: Column, name: str, kind: str) -> str:
    """The column in a type that the driver hands over as it is."""
    quoted = _identifier(name)
    if kind in _INTEGERS or kind in _FLOATS:
        return quoted
    if kind == "numeric":
        return f"{quoted}::{'float8' if column.kind == 'number' else 'text'}"
    if kind == "date":
        return _within(quoted, "date")
    if kind in _TIMES:
        return _within(quoted, kind)
    return f"{quoted}::text"


def _within(quoted: str, kind: str) -> str:
    first, late = f"{kind} '0001-01-01'", f"{kind} '{_TOO_LATE}'"
    return f"CASE WHEN {quoted} NOT BETWEEN {first} AND {late} THEN {late} ELSE {quoted} END"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

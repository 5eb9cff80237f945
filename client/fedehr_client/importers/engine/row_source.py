"""`RowSource`: where a table's rows come from, as SQL: a CSV file, a Parquet file, a relation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from fedehr_client.importers.engine.csv_file import CsvFile
from fedehr_client.importers.engine.header import match_header
from fedehr_client.importers.engine.table import SourceTable
from fedehr_client.importers.engine.typed_column import quote
from fedehr_shared.errors import DataError

LINE_BYTES = 1_000_000
"""The longest record. A quote that is never closed makes a longer one."""
_BUFFER_BYTES = 8_000_000


@dataclass(frozen=True)
class RowSource:
    """Rows that SQL can read.

    Attributes:
        rows: a FROM clause.
        row: SQL of a row's number from 1, refused ones left out of the count.
        columns: by name of the table's column, its SQL and DuckDB type.
        where: what to call it in a message.
    """

    rows: str
    row: str
    columns: Mapping[str, tuple[str, str]]
    where: str


def csv_rows(table: SourceTable, file: CsvFile, path: Path, rejects: str) -> RowSource:
    """A CSV file; `path` is it or its copy in UTF-8, `rejects` names the tables of bad lines.

    Raises:
        DataError: a required column is missing, or one is there twice.
    """
    found = match_header(table, file.header, file.path.name)
    names = [f"c{place}" for place in range(len(file.header))]
    types = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    is_gzip = file.is_gzip or path != file.path
    mark = '"' if file.is_quoted else ""
    # One thread reads a file: where several guess at record ends, hostile quotes make them
    # disagree, and the same file would not always give the same rows.
    rows = f"""read_csv({path_literal(path)}, auto_detect = false, header = true,
        columns = {{{types}}}, delim = {quote(file.delimiter)},
        quote = '{mark}', escape = '{mark}',
        compression = '{"gzip" if is_gzip else "none"}', parallel = false,
        max_line_size = {LINE_BYTES}, buffer_size = {_BUFFER_BYTES},
        store_rejects = true, rejects_table = '{rejects}', rejects_scan = '{rejects}_scan',
        rejects_limit = 0)"""
    columns = {name: (names[place], "VARCHAR") for name, place in found.items()}
    return RowSource(rows, "row_number() OVER ()", columns, file.path.name)


def parquet_rows(
    connection: duckdb.DuckDBPyConnection, table: SourceTable, path: Path
) -> RowSource:
    """A Parquet file.

    Raises:
        DataError: the file is damaged, a required column is missing, or one is there twice.
    """
    rows = f"read_parquet({path_literal(path)}, file_row_number = true)"
    try:
        described = _describe(connection, rows)
    except duckdb.Error:
        raise DataError(f"{path} is not a whole Parquet file. Copy it again.") from None
    columns = _match(table, described[:-1], path.name)
    return RowSource(rows, "file_row_number + 1", columns, path.name)


def relation_rows(
    connection: duckdb.DuckDBPyConnection, table: SourceTable, relation: str
) -> RowSource:
    """A relation of the connection, read once: a stream may be given.

    Raises:
        DataError: a required column is missing, or one is there twice.
    """
    columns = _match(table, _describe(connection, relation), "the query's result")
    return RowSource(relation, "row_number() OVER ()", columns, "the query's result")


def path_literal(path: Path) -> str:
    """`path` as a SQL string in which no character stands for others."""
    text = str(path.absolute())
    for special in "[*?":
        text = text.replace(special, f"\0{special}]")
    return quote(text.replace("\0", "["))


def _describe(connection: duckdb.DuckDBPyConnection, rows: str) -> list[tuple[str, str]]:
    found = connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()
    return [(name, kind) for name, kind, *_ in found]


def _match(
    table: SourceTable, described: list[tuple[str, str]], where: str
) -> dict[str, tuple[str, str]]:
    found = match_header(table, [name for name, _ in described], where)
    return {
        name: (identifier(described[place][0]), described[place][1])
        for name, place in found.items()
    }


def identifier(name: str) -> str:
    """`name` as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'

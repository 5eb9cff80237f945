"""One file or relation into one Parquet file of typed rows, in one pass over its rows."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import duckdb

from fedehr_client.importers.engine.bad_rows import NUM_LISTED
from fedehr_client.importers.engine.row_source import RowSource, identifier, path_literal
from fedehr_client.importers.engine.table import SourceTable
from fedehr_client.importers.engine.typed_column import TypedColumn, absent_column, type_column

_ROWS_A_GROUP = 65_536


@dataclass(frozen=True)
class Staged:
    """What one file gave.

    Attributes:
        file: Parquet of the table's columns, `_reason` (null where all is well) and `_row`.
        num_rows: rows in it, bad ones included.
        bad: by reason, how many rows broke a rule, and the numbers of the first of them.
    """

    file: Path
    num_rows: int
    bad: dict[str, tuple[int, list[int]]]


def stage_rows(
    connection: duckdb.DuckDBPyConnection,
    table: SourceTable,
    source: RowSource,
    file: Path,
    *,
    has_zone: bool,
) -> Staged:
    """Read `source` once into `file`.

    Raises:
        duckdb.Error: the source cannot be read to its end.
    """
    typed = {
        column.name: type_column(table, column, *source.columns[column.name], has_zone=has_zone)
        if column.name in source.columns
        else absent_column(column)
        for column in table.columns
    }
    problems = [problem for column in typed.values() for problem in column.problems]
    num_rows = connection.execute(
        f"""COPY ({_query(source, typed, problems)}) TO {path_literal(file)}
        (FORMAT parquet, COMPRESSION lz4, ROW_GROUP_SIZE {_ROWS_A_GROUP})"""
    ).fetchall()[0][0]
    found = connection.execute(
        f"""SELECT _reason, count(*), list_sort(min(_row, {NUM_LISTED}))
        FROM read_parquet({path_literal(file)}) WHERE _reason IS NOT NULL
        GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    bad: dict[str, tuple[int, list[int]]] = {
        problems[reason][0]: (num, rows) for reason, num, rows in found
    }
    return Staged(file, num_rows, bad)


def _query(
    source: RowSource, typed: dict[str, TypedColumn], problems: list[tuple[str, str]]
) -> str:
    layers = itertools.zip_longest(*(column.steps for column in typed.values()))
    first, *deeper = [[step for step in layer if step] for layer in layers] or [[]]
    query = f"SELECT {_named([('_row', source.row), *first])} FROM {source.rows}"
    for layer in deeper:
        query = f"SELECT *, {_named(layer)} FROM ({query})"
    cases = " ".join(f"WHEN {sql} THEN {place}" for place, (_, sql) in enumerate(problems))
    reason = f"CASE {cases} END" if cases else "NULL"
    values = _named([(name, column.value) for name, column in typed.items()])
    query = f"SELECT {values}, CAST({reason} AS SMALLINT) AS _reason, _row FROM ({query})"
    return f"SELECT * REPLACE (CASE WHEN _reason IS NOT NULL THEN _row END AS _row) FROM ({query})"


def _named(columns: list[tuple[str, str]]) -> str:
    return ", ".join(f"{sql} AS {identifier(name)}" for name, sql in columns)

"""A dataset's files into the workspace: typed by the engine's rules, with MEDS's own quirks.

Times with a zone are taken as they say; times without one are UTC, or local to --timezone.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb

from fedehr_client.importers.engine.row_source import RowSource, parquet_rows, path_literal
from fedehr_client.importers.engine.staging import Staged, stage_rows
from fedehr_client.importers.engine.table import SourceTable
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_shared.errors import DataError

NO_TIMES = ("0001-01-01 00:00:00", "1677-09-21 00:12:43.145224", "1677-09-21 00:12:43.145225")
"""What tools write for "no time": the first day of the calendar, the first nanosecond of
pandas. Events at them are static."""


def stage_files(
    workspace: Workspace,
    table: SourceTable,
    files: Sequence[Path],
    root: Path,
    adjust: Callable[[RowSource], RowSource] = lambda source: source,
) -> list[Staged]:
    """Stage each file; bad rows are counted by the file's path within `root`.

    Raises:
        DataError: a file is damaged, lacks a column, or too many rows are bad.
    """
    staged = [_stage(workspace, table, file, root, adjust) for file in files]
    workspace.bad_rows.check(table.name, workspace.settings.max_bad_share)
    return staged


def open_file(workspace: Workspace, table: SourceTable, file: Path) -> RowSource:
    """A file's columns, times with a zone in the unit that the engine reads.

    Raises:
        DataError: the file is damaged, or lacks a column.
    """
    source = parquet_rows(workspace.connection, table, file)
    columns = {
        name: (f"CAST({sql} AS TIMESTAMPTZ)", "TIMESTAMP WITH TIME ZONE")
        if kind == "TIMESTAMPTZ_NS"
        else (sql, kind)
        for name, (sql, kind) in source.columns.items()
    }
    return replace(source, columns=columns)


def rows_of(staged: Sequence[Staged]) -> str:
    """The well-formed rows of staged files, as a FROM clause."""
    files = ", ".join(path_literal(part.file) for part in staged)
    return f"(SELECT * FROM read_parquet([{files}]) WHERE _reason IS NULL)"


@contextmanager
def damage_named(file: Path) -> Iterator[None]:
    """Within, what DuckDB cannot read of `file` is said without its text, which quotes records.

    Raises:
        DataError: the file is damaged.
    """
    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.InterruptException):
        raise
    except duckdb.Error as error:
        if "no space left" in str(error).lower():
            raise
        raise DataError(f"{file} is not a whole Parquet file. Copy it again.") from None


def is_no_time(time: str) -> str:
    """SQL that is true where `time` stands for no time."""
    moments = ", ".join(f"TIMESTAMP '{moment}'" for moment in NO_TIMES)
    return f"coalesce(CAST({time} AS TIMESTAMP) IN ({moments}), false)"


def _stage(
    workspace: Workspace,
    table: SourceTable,
    file: Path,
    root: Path,
    adjust: Callable[[RowSource], RowSource],
) -> Staged:
    source = adjust(open_file(workspace, table, file))
    target = workspace.new_file("meds.parquet")
    with damage_named(file):
        # Zones are taken at their word, so the engine need not ask for one.
        staged = stage_rows(workspace.connection, table, source, target, has_zone=True)
    workspace.bad_rows.add_rows(table.name, staged.num_rows)
    for reason, (num, rows) in staged.bad.items():
        workspace.bad_rows.add(table.name, f"{reason} ({file.relative_to(root)})", num, rows)
    return staged

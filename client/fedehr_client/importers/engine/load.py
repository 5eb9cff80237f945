"""Source tables into the workspace: each file is read once, checked, typed and set aside.

The rows are staged as Parquet in the workspace's private folder, so that an importer may
read its tables as often as it likes at the speed of Parquet, whatever the source was.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import duckdb
import numpy as np

from fedehr_client.importers.engine.csv_file import CsvFile, CsvFormat, examine_csv
from fedehr_client.importers.engine.database_errors import is_about_resources
from fedehr_client.importers.engine.recount import find_blank_lines
from fedehr_client.importers.engine.rejects import Rejects, take_rejects
from fedehr_client.importers.engine.row_source import (
    RowSource,
    csv_rows,
    identifier,
    parquet_rows,
    path_literal,
    relation_rows,
)
from fedehr_client.importers.engine.staging import Staged, stage_rows
from fedehr_client.importers.engine.table import SourceTable
from fedehr_client.importers.engine.transcode import count_lines, transcode
from fedehr_client.importers.engine.unchanged import unchanged
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_shared.errors import DataError


def open_table(
    workspace: Workspace,
    table: SourceTable,
    files: Sequence[Path],
    csv: CsvFormat | None = None,
) -> str | None:
    """Make a view named `table.name` of the files' well-formed rows, with typed columns.

    Rows that break a rule are counted in `workspace.bad_rows`; through several files their
    numbers run on.

    Args:
        csv: what is known of the files' encoding and delimiter.

    Returns:
        The view's name; null where there is no file.

    Raises:
        DataError: a file is damaged, lacks a column, holds too many bad rows, or changed while
            it was read.
    """
    if not files:
        return None
    staged, first_row = [], 0
    for file in files:
        target = workspace.new_file(f"{table.name}.parquet")
        with unchanged(file):
            if file.name.lower().endswith(".parquet"):
                part, num_rows = _stage_parquet(workspace, table, file, target, first_row)
            else:
                found = examine_csv(file, csv or CsvFormat())
                part, num_rows = _stage_csv(workspace, table, found, target, first_row)
        staged.append(part)
        first_row += num_rows
    return _make_view(workspace, table, staged)


def open_relation(workspace: Workspace, table: SourceTable, relation: str) -> str:
    """Make the same view of a DuckDB relation: a name, or a subquery in brackets.

    It is read once, so it may be a stream.

    Raises:
        DataError: the relation lacks a column, or holds too many bad rows.
    """
    source = relation_rows(workspace.connection, table, relation)
    target = workspace.new_file(f"{table.name}.parquet")
    staged = _stage(workspace, table, source, target)
    _count(workspace, table, staged, None, 0)
    return _make_view(workspace, table, [staged])


def _stage_parquet(
    workspace: Workspace, table: SourceTable, file: Path, target: Path, first_row: int
) -> tuple[Staged, int]:
    source = parquet_rows(workspace.connection, table, file)
    try:
        staged = _stage(workspace, table, source, target)
    except duckdb.Error as error:
        if is_about_resources(error):
            raise
        raise DataError(f"{file} is not a whole Parquet file. Copy it again.") from None
    return staged, _count(workspace, table, staged, None, first_row)


def _stage_csv(
    workspace: Workspace, table: SourceTable, found: CsvFile, target: Path, first_row: int
) -> tuple[Staged, int]:
    if found.encoding == "utf-8":
        is_ended = Event()
        with ThreadPoolExecutor(1) as beside:
            counted = beside.submit(count_lines, found, is_ended)
            try:
                staged, rejects = _scan_csv(workspace, table, found, found.path, target)
            except (DataError, duckdb.Error):
                # A damaged file is the better reason where both fail.
                counted.result()
                raise
            except BaseException:
                is_ended.set()
                raise
            num_lines = counted.result()
        path = found.path
    else:
        path = workspace.new_file("utf-8.csv.gz")
        num_lines = transcode(found, path)
        workspace.repairs[f"files_read_as_{found.encoding}"] += 1
        staged, rejects = _scan_csv(workspace, table, found, path, target)
    rejects = rejects.without(
        find_blank_lines(found, path, num_lines, staged.num_rows + rejects.num)
    )
    if path != found.path:
        path.unlink()
    return staged, _count(workspace, table, staged, rejects, first_row)


def _scan_csv(
    workspace: Workspace, table: SourceTable, found: CsvFile, path: Path, target: Path
) -> tuple[Staged, Rejects]:
    name = f"rejects_{target.stem.partition('-')[0]}"
    source = csv_rows(table, found, path, name)
    try:
        staged = _stage(workspace, table, source, target)
    except duckdb.Error as error:
        if is_about_resources(error):
            raise
        raise DataError(
            f"table '{table.name}' ({found.path}) is not well-formed CSV. Copy it again, give all "
            "its lines the same end, or state its delimiter and encoding."
        ) from None
    return staged, take_rejects(workspace.connection, name, str(found.path))


def _stage(workspace: Workspace, table: SourceTable, source: RowSource, target: Path) -> Staged:
    return stage_rows(
        workspace.connection,
        table,
        source,
        target,
        has_zone=workspace.settings.timezone is not None,
    )


def _count(
    workspace: Workspace,
    table: SourceTable,
    staged: Staged,
    rejects: Rejects | None,
    first_row: int,
) -> int:
    """Count one file's rows; returns how many it holds."""
    num_rows = staged.num_rows + (rejects.num if rejects else 0)
    workspace.bad_rows.add_rows(table.name, num_rows)
    if rejects:
        rejects.report(workspace.bad_rows, table.name, first_row)
    for reason, (num, rows) in staged.bad.items():
        numbers = np.asarray(rows, dtype=np.int64)
        if rejects:
            numbers = rejects.number(numbers)
        workspace.bad_rows.add(table.name, reason, num, (numbers + first_row).tolist())
    return num_rows


def _make_view(workspace: Workspace, table: SourceTable, staged: Sequence[Staged]) -> str:
    workspace.bad_rows.check(table.name, workspace.settings.max_bad_share)
    files = ", ".join(path_literal(part.file) for part in staged)
    well = "" if not any(part.bad for part in staged) else "WHERE _reason IS NULL"
    workspace.connection.execute(
        f"""CREATE VIEW {identifier(table.name)} AS
        SELECT * EXCLUDE (_reason, _row) FROM read_parquet([{files}]) {well}"""
    )
    return table.name

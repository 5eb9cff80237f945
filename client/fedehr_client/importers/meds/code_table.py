"""`codes.parquet` of another tool, as the engine's table of codes."""

from pathlib import Path

import duckdb

from fedehr_client.importers.engine.row_source import path_literal
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.meds.event_rows import EventRows
from fedehr_client.importers.meds.renames import present_code
from fedehr_shared.errors import DataError

_TABLE = "meds_codes"
_BLANKS = "' \t\r\n'"


def read_codes(workspace: Workspace, file: Path | None, events: EventRows) -> tuple[str, bool]:
    """Take the codes into the workspace, and count those of the events that it lacks.

    Returns:
        A SELECT as `RecordsPlan.codes` takes it, and whether the file says delays.

    Raises:
        DataError: the file is damaged or has no codes.
    """
    query, has_delays = _query(workspace, file) if file else (_NO_CODES, False)
    try:
        workspace.connection.execute(f"CREATE TEMP TABLE {_TABLE} AS {query}")
    except (duckdb.OutOfMemoryException, duckdb.InterruptException):
        raise
    except duckdb.Error:
        raise _damaged(file) from None
    num_missing = workspace.connection.execute(
        f"""SELECT count(*) FROM (SELECT DISTINCT {present_code("code")} AS code
            FROM {events.rows}) ANTI JOIN {_TABLE} USING (code)"""
    ).fetchall()[0][0]
    if file is None:
        workspace.repairs["codes_file_missing"] += 1
    if num_missing:
        workspace.repairs["codes_missing_from_codes_file"] += num_missing
    return f"SELECT * FROM {_TABLE}", has_delays


_NO_CODES = """SELECT NULL::VARCHAR AS code, NULL::VARCHAR AS description,
    NULL::VARCHAR[] AS parent_codes, NULL::FLOAT AS delay_hours WHERE false"""


def _query(workspace: Workspace, file: Path) -> tuple[str, bool]:
    rows = f"read_parquet({path_literal(file)})"
    try:
        described = workspace.connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()
    except duckdb.Error:
        raise _damaged(file) from None
    kinds = {name: kind for name, kind, *_ in described}
    if "code" not in kinds:
        raise _damaged(file)
    has_delays = "delay_hours" in kinds
    description = "CAST(description AS VARCHAR)" if "description" in kinds else "NULL::VARCHAR"
    delay = "TRY_CAST(delay_hours AS FLOAT)" if has_delays else "NULL::FLOAT"
    code = f"trim(CAST(code AS VARCHAR), {_BLANKS})"
    query = f"""SELECT {present_code(code)} AS code, {description} AS description,
        {_parents(kinds.get("parent_codes", ""))} AS parent_codes,
        CASE WHEN {delay} >= 0 AND isfinite({delay}) THEN {delay} END AS delay_hours
        FROM {rows} WHERE code IS NOT NULL"""
    return query, has_delays


def _parents(kind: str) -> str:
    """SQL of a code's parents; tools write lists, single texts, or a column of nulls."""
    if kind == "VARCHAR":
        return f"CASE WHEN parent_codes <> '' THEN [{present_code('parent_codes')}] END"
    if kind.endswith("[]"):
        parent = f"trim(parent, {_BLANKS})"
        parents = "CAST(parent_codes AS VARCHAR[])"
        return f"list_transform({parents}, lambda parent: {present_code(parent)})"
    return "NULL::VARCHAR[]"


def _damaged(file: Path | None) -> DataError:
    return DataError(
        f"{file} is not a whole Parquet file with a column 'code'. Copy it again, or take it out "
        "of a copy of the dataset: the codes of the events are enough."
    )

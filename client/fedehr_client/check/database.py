"""The site's files as DuckDB views, within a memory limit; nothing is written."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow.parquet as pq

from fedehr_client.scratch import scratch_folder
from fedehr_shared.meds.folder import SiteFolder

_OPTIONAL = {"numeric_value": "FLOAT", "visit_id": "BIGINT"}


@contextmanager
def open_records(site: SiteFolder, memory_limit_bytes: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with the views `events` and `splits`.

    `events` has subject_id, time, code, numeric_value and visit_id, whichever of the last two
    the shards hold.
    """
    with (
        scratch_folder(None) as spill,
        duckdb.connect(":memory:") as connection,
    ):
        connection.execute("SET memory_limit = ?", [f"{memory_limit_bytes // 1_000_000}MB"])
        connection.execute("SET temp_directory = ?", [str(spill)])
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(f"CREATE VIEW events AS {_events_query(site)}")
        connection.execute(f"CREATE VIEW splits AS SELECT * FROM {_scan([str(site.splits_file)])}")
        yield connection


def _events_query(site: SiteFolder) -> str:
    """Shards with and without an optional column may lie side by side."""
    files_by_columns: dict[tuple[str, ...], list[str]] = {}
    for file in site.data_files:
        present = set(pq.read_schema(file).names)
        columns = tuple(name for name in _OPTIONAL if name in present)
        files_by_columns.setdefault(columns, []).append(str(file))
    return " UNION ALL ".join(
        f"SELECT subject_id, time, CAST(code AS VARCHAR) AS code, {_optional(columns)} "
        f"FROM {_scan(files)}"
        for columns, files in files_by_columns.items()
    )


def _optional(present: tuple[str, ...]) -> str:
    return ", ".join(
        f"CAST({name if name in present else 'NULL'} AS {kind}) AS {name}"
        for name, kind in _OPTIONAL.items()
    )


def _scan(files: list[str]) -> str:
    quoted = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"read_parquet([{quoted}])"

"""`open_site`: a site's events as DuckDB views, within a memory limit.

View `events`: subject_id, time, known (when the event was known: the time and its code's
delay), code, visit_id. View `statics`: subject_id, code of the events without a time, which any
input holds. Table `codes`: code, delay_us.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fedehr_client.scratch import scratch_folder
from fedehr_shared.errors import DataError
from fedehr_shared.meds.code_table import CodeTable, read_codes
from fedehr_shared.meds.folder import SiteFolder

MICROSECONDS_PER_HOUR = 3_600_000_000
DEFAULT_MEMORY_LIMIT_BYTES = 10**9


@dataclass(frozen=True)
class QueryLimits:
    """What a query over a site's records may use.

    Attributes:
        memory_limit_bytes: of DuckDB; beyond it rows spill to files.
        temp_folder: where a private folder for those files is made, None: the system's.
    """

    memory_limit_bytes: int = DEFAULT_MEMORY_LIMIT_BYTES
    temp_folder: Path | None = None


@contextmanager
def open_site(
    site: SiteFolder, limits: QueryLimits
) -> Iterator[tuple[duckdb.DuckDBPyConnection, CodeTable]]:
    """Yield a connection that holds `events` and `codes`, and the code table.

    Raises:
        DataError: a file is missing or damaged, the events name a code that codes.parquet
            lacks, or the work does not fit into the memory limit.
    """
    codes = read_codes(site)
    with (
        scratch_folder(limits.temp_folder) as spill,
        duckdb.connect(":memory:") as connection,
    ):
        try:
            _configure(connection, limits.memory_limit_bytes, spill)
            _add_codes(connection, codes)
            _add_events(connection, site)
            yield connection, codes
        except duckdb.OutOfMemoryException:
            raise DataError(
                f"a query over '{site.name}' does not fit into the memory limit "
                f"({limits.memory_limit_bytes // 10**6} MB for the database), even with files on "
                "disk. Raise --memory-limit, or name a larger disk with --temp."
            ) from None
        except duckdb.Error:
            # DuckDB's own message may quote a record.
            raise DataError(
                f"the records of '{site.name}' cannot be read: a shard is damaged or lacks a "
                "column. Check them with `fedehr-client check`, or import them again."
            ) from None


def add_table(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    """Copy an Arrow table into the database."""
    connection.register("arrow_input", table)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM arrow_input")
    connection.unregister("arrow_input")


def _configure(connection: duckdb.DuckDBPyConnection, memory_limit_bytes: int, spill: Path) -> None:
    connection.execute("SET memory_limit = ?", [f"{memory_limit_bytes // 10**6}MB"])
    connection.execute("SET temp_directory = ?", [str(spill)])
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET preserve_insertion_order = false")


def _add_codes(connection: duckdb.DuckDBPyConnection, codes: CodeTable) -> None:
    delays = np.rint(codes.delay_hours.astype(np.float64) * MICROSECONDS_PER_HOUR)
    columns = {
        "code": pa.array(codes.codes, pa.string()),
        "delay_us": pa.array(delays.astype(np.int64)),
    }
    add_table(connection, "codes", pa.table(columns))


def _add_events(connection: duckdb.DuckDBPyConnection, site: SiteFolder) -> None:
    files = site.data_files
    names = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    visit = "visit_id" if _has_visits(files) else "CAST(NULL AS BIGINT)"
    connection.execute(
        f"""CREATE VIEW events AS
        SELECT subject_id, time, code, {visit} AS visit_id,
            time + to_microseconds(coalesce(delay_us, 0)) AS known
        FROM read_parquet([{names}], union_by_name = true) LEFT JOIN codes USING (code)
        WHERE time IS NOT NULL"""
    )
    connection.execute(
        f"""CREATE VIEW statics AS SELECT DISTINCT subject_id, code
        FROM read_parquet([{names}], union_by_name = true) WHERE time IS NULL"""
    )
    unknown = connection.execute(
        f"""SELECT count(DISTINCT code) FROM read_parquet([{names}], union_by_name = true)
        WHERE code NOT IN (SELECT code FROM codes)"""
    ).fetchall()[0][0]
    if unknown:
        raise DataError(
            f"{unknown} code(s) of the events of '{site.name}' are not in codes.parquet, so their "
            "delays are unknown. Bring the records in with `fedehr-client import meds`."
        )


def _has_visits(files: list[Path]) -> bool:
    try:
        return any("visit_id" in pq.read_schema(file).names for file in files)
    except (pa.ArrowException, OSError):
        raise DataError(f"a file of {files[0].parent} is damaged. Import again.") from None

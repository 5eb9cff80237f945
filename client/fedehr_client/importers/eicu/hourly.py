"""The hourly measurements: one row a stay and hour, one column a measurement."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fedehr_shared.errors import DataError

MEASUREMENTS_FILE = "dyn.parquet"
_UNITS_A_MINUTE = {"s": 60, "ms": 60_000, "us": 60_000_000, "ns": 60_000_000_000}


def check_hourly(hourly: Path) -> list[str]:
    """The measurement columns of the folder's file, by name.

    Raises:
        DataError: the file is missing, damaged or of another shape.
    """
    file = hourly / MEASUREMENTS_FILE
    if not file.is_file():
        raise DataError(
            f"the hourly measurements are missing: {hourly} holds no {MEASUREMENTS_FILE}. "
            "Name the folder that holds it, or leave --hourly out."
        )
    try:
        schema = pq.read_schema(file)
    except (pa.ArrowException, OSError):
        raise DataError(f"{file} is not a whole Parquet file. Copy it again.") from None
    types = dict(zip(schema.names, schema.types, strict=True))
    if not pa.types.is_duration(types.get("time")) or not pa.types.is_integer(types.get("stay_id")):
        raise DataError(
            f"{file} must have 'stay_id' (integer) and 'time' (duration since unit admission). "
            "Take the file as it is published."
        )
    wrong = [n for n, t in types.items() if n not in ("stay_id", "time") and not _is_number(t)]
    if wrong:
        raise DataError(
            f"{file}: column '{wrong[0]}' holds no numbers. Take the file as it is published."
        )
    return sorted(name for name in types if name not in ("stay_id", "time"))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def load_hourly(
    connection: duckdb.DuckDBPyConnection, hourly: Path, measurements: list[str]
) -> None:
    """Make table `hourly`: patientunitstayid, offset_minutes (where the hour begins), columns.

    Raises:
        DataError: the file is damaged.
    """
    file = hourly / MEASUREMENTS_FILE
    # DuckDB reads an Arrow duration as the plain count of its unit.
    unit = _UNITS_A_MINUTE[pq.read_schema(file).field("time").type.unit]
    names = ", ".join(f'"{name}"' for name in measurements)
    try:
        connection.execute(
            f"""CREATE TABLE hourly AS SELECT CAST(stay_id AS BIGINT) AS patientunitstayid,
                CAST("time" AS BIGINT) // {unit} AS offset_minutes, {names}
            FROM read_parquet(?) WHERE stay_id IS NOT NULL AND "time" IS NOT NULL""",
            [str(file)],
        )
    except duckdb.Error:
        raise DataError(f"{file} is not a whole Parquet file. Copy it again.") from None

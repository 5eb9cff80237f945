"""Reading and checking the source tables; nothing past this file sees unchecked text.

A column of text stays text; a column of integers is checked row by row before it is cast,
so that an error can name table, column and row without showing the value.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fedehr_shared.errors import DataError

MEASUREMENTS_FILE = "dyn.parquet"


@dataclass(frozen=True)
class Table:
    """A source table: its file's stem and the columns that are read.

    Attributes:
        integers: whole numbers that every row must have.
        optional_integers: whole numbers, or empty.
        texts: anything, or empty.
    """

    name: str
    integers: tuple[str, ...]
    optional_integers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        return (*self.integers, *self.optional_integers, *self.texts)


STAY = "patientunitstayid"
PATIENT = Table(
    "patient",
    (
        STAY,
        "patienthealthsystemstayid",
        "hospitalid",
        "hospitaladmitoffset",
        "hospitaldischargeyear",
        "hospitaldischargeoffset",
        "unitvisitnumber",
        "unitdischargeoffset",
    ),
    texts=(
        "uniquepid",
        "gender",
        "age",
        "hospitaladmitsource",
        "unittype",
        "unitadmitsource",
        "hospitaldischargestatus",
    ),
)
HOSPITAL = Table("hospital", ("hospitalid",), texts=("numbedscategory", "region"))
EVENT_TABLES = (
    Table("diagnosis", (STAY, "diagnosisoffset"), texts=("diagnosisstring", "icd9code")),
    Table(
        "medication",
        (STAY, "drugorderoffset", "drugstartoffset"),
        ("drughiclseqno",),
        ("drugname", "drugordercancelled"),
    ),
    Table("treatment", (STAY, "treatmentoffset"), texts=("treatmentstring",)),
    Table("infusiondrug", (STAY, "infusionoffset"), texts=("drugname", "drugrate")),
    Table("admissionDx", (STAY, "admitdxenteredoffset"), texts=("admitdxpath",)),
    Table(
        "pastHistory",
        (STAY, "pasthistoryenteredoffset"),
        texts=("pasthistorypath", "pasthistoryvalue"),
    ),
)
APERIODIC = Table(
    "vitalAperiodic",
    (STAY, "observationoffset"),
    ("noninvasivesystolic", "noninvasivediastolic", "noninvasivemean"),
)
"""Stands in for the hourly measurements where there are none."""


def load_tables(
    connection: duckdb.DuckDBPyConnection, source: Path, hourly: Path | None
) -> list[str]:
    """Read every needed table of `source` into `connection`, checked and typed.

    Returns:
        The measurement columns of the table `hourly`; empty without `hourly`.

    Raises:
        DataError: a table, column or number is missing or malformed.
    """
    if not source.is_dir():
        raise DataError(f"there is no folder {source}. Name the folder with the eICU tables.")
    extra = () if hourly else (APERIODIC,)
    files = {
        table.name: _find_file(source, table.name)
        for table in (PATIENT, HOSPITAL, *EVENT_TABLES, *extra)
    }
    measurements = _check_hourly(hourly) if hourly else []
    for table in (PATIENT, HOSPITAL, *EVENT_TABLES, *extra):
        _load_table(connection, table, files[table.name])
    _check_keys(connection)
    if hourly:
        _load_hourly(connection, hourly / MEASUREMENTS_FILE, measurements)
    return measurements


def _find_file(source: Path, name: str) -> Path:
    by_name = {file.name.lower(): file for file in sorted(source.iterdir())}
    for ending in (".csv.gz", ".csv"):
        if found := by_name.get(f"{name}{ending}".lower()):
            return found
    raise DataError(
        f"table '{name}' is missing: {source} holds neither {name}.csv.gz nor {name}.csv. "
        "Copy the whole set of eICU tables there."
    )


def _load_table(connection: duckdb.DuckDBPyConnection, table: Table, file: Path) -> None:
    try:
        source = connection.read_csv(
            str(file), header=True, all_varchar=True, delimiter=",", quotechar='"', escapechar='"'
        )
        source.query("source", "SELECT row_number() OVER () AS row, * FROM source").create("raw")
    except duckdb.Error as error:
        raise DataError(_describe_csv_error(table, file, str(error))) from None
    present = {column.lower() for column in source.columns}
    missing = [column for column in table.columns if column not in present]
    if missing:
        raise DataError(
            f"table '{table.name}' ({file}) lacks column(s) {', '.join(missing)}. "
            "Take the table as PhysioNet ships it."
        )
    for column in (*table.integers, *table.optional_integers):
        _check_integers(connection, table, column)
    whole = (*table.integers, *table.optional_integers)
    casts = [f"CAST({column} AS BIGINT) AS {column}" for column in whole]
    connection.execute(
        f'CREATE TABLE "{table.name}" AS SELECT {", ".join([*casts, *table.texts])} FROM raw'
    )
    connection.execute("DROP TABLE raw")


def _describe_csv_error(table: Table, file: Path, message: str) -> str:
    # DuckDB's own message quotes the record it stumbled over.
    if "GZIP" in message:
        return (
            f"table '{table.name}' ({file}) is not a whole gzip file: it is truncated or damaged. "
            "Compare it with SHA256SUMS.txt and copy it again."
        )
    line = re.search(r"on Line: (\d+)", message)
    where = f" near line {line.group(1)}" if line else ""
    return f"table '{table.name}' ({file}) is not well-formed CSV{where}. Copy it again."


def _check_integers(connection: duckdb.DuckDBPyConnection, table: Table, column: str) -> None:
    empty = "TRUE" if column in table.integers else "FALSE"
    bad = connection.execute(
        f"""SELECT row, {column} IS NULL FROM raw
        WHERE CASE WHEN {column} IS NULL THEN {empty}
              ELSE NOT regexp_full_match({column}, '[+-]?[0-9]{{1,18}}') END
        ORDER BY row LIMIT 1"""
    ).fetchall()
    if bad:
        row, is_empty = bad[0]
        found = "nothing" if is_empty else "text"
        raise DataError(
            f"table '{table.name}', column '{column}', row {row} (not counting the header): "
            f"{found} where a whole number belongs. Correct the table or copy it again."
        )


def _check_keys(connection: duckdb.DuckDBPyConnection) -> None:
    checks = {
        f"column '{STAY}' repeats": f"SELECT {STAY} FROM patient GROUP BY 1 HAVING count(*) > 1",
        "column 'uniquepid' is empty": "SELECT 1 FROM patient WHERE uniquepid IS NULL",
        "a 'patienthealthsystemstayid' belongs to two people or two hospitals": """
            SELECT patienthealthsystemstayid FROM patient GROUP BY 1
            HAVING count(DISTINCT uniquepid) > 1 OR count(DISTINCT hospitalid) > 1""",
        "an 'age' is neither a whole number nor '> 89'": """
            SELECT 1 FROM patient WHERE NOT regexp_full_match(trim(age), '[0-9]{1,3}|> ?89')""",
    }
    for what, query in checks.items():
        num_bad = len(connection.execute(query).fetchall())
        if num_bad:
            raise DataError(
                f"table 'patient': {what} ({num_bad} times). Correct the table or copy it again."
            )


def _check_hourly(hourly: Path) -> list[str]:
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
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _load_hourly(
    connection: duckdb.DuckDBPyConnection, file: Path, measurements: list[str]
) -> None:
    per_minute = {"s": 60, "ms": 60_000, "us": 60_000_000, "ns": 60_000_000_000}
    # DuckDB reads an Arrow duration as the plain count of its unit.
    unit = per_minute[pq.read_schema(file).field("time").type.unit]
    names = ", ".join(f'"{name}"' for name in measurements)
    try:
        connection.read_parquet(str(file)).query(
            "source",
            f"""SELECT CAST(stay_id AS BIGINT) AS {STAY}, CAST("time" AS BIGINT) // {unit}
            AS offset_minutes, {names} FROM source""",
        ).create("hourly")
    except duckdb.Error:
        raise DataError(f"{file} is not a whole Parquet file. Copy it again.") from None

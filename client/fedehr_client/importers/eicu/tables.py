"""Reading and checking the source tables; nothing past this file sees unchecked text.

A column of text stays text; a column of integers is checked row by row before it is cast,
so that an error can name table, column and row without showing the value.
"""

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import duckdb

from fedehr_client.importers.eicu.hourly import check_hourly, load_hourly
from fedehr_shared.errors import DataError


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
        "unitdischargestatus",
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
    measurements = check_hourly(hourly) if hourly else []
    for table in (PATIENT, HOSPITAL, *EVENT_TABLES, *extra):
        _load_table(connection, table, files[table.name])
    _check_keys(connection)
    if hourly:
        load_hourly(connection, hourly, measurements)
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
    if file.suffix == ".gz":
        _check_gzip(table, file)
    try:
        connection.execute(
            """CREATE TABLE raw AS SELECT row_number() OVER () AS row, * FROM read_csv(?,
                header = true, all_varchar = true, delim = ',', quote = '"', escape = '"')""",
            [str(file)],
        )
    except duckdb.Error as error:
        raise DataError(_describe_csv_error(table, file, str(error))) from None
    described = connection.execute("DESCRIBE raw").fetchall()
    present = {column[0].lower() for column in described}
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


def _check_gzip(table: Table, file: Path) -> None:
    """Read to the end once: DuckDB does not compare the checksum, and would lose rows."""
    try:
        with gzip.open(file) as stream:
            while stream.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error):
        raise DataError(
            f"table '{table.name}' ({file}) is not a whole gzip file: it is truncated or damaged. "
            "Compare it with SHA256SUMS.txt and copy it again."
        ) from None


def _describe_csv_error(table: Table, file: Path, message: str) -> str:
    # DuckDB's own message quotes the record it stumbled over.
    line = re.search(r"on Line: (\d+)", message)
    where = f" near line {line.group(1)}" if line else ""
    return f"table '{table.name}' ({file}) is not well-formed CSV{where}. Copy it again."


def _check_integers(connection: duckdb.DuckDBPyConnection, table: Table, column: str) -> None:
    empty = "TRUE" if column in table.integers else "FALSE"
    # Ten digits of minutes still make a date; more would overflow it.
    num_digits = 10 if column.endswith("offset") else 18
    bad = connection.execute(
        f"""SELECT row, {column} IS NULL FROM raw
        WHERE CASE WHEN {column} IS NULL THEN {empty}
              ELSE NOT regexp_full_match({column}, '[+-]?[0-9]{{1,{num_digits}}}') END
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

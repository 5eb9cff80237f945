"""A made-up CDM, the real one where present, and a PostgreSQL server of the tests' own."""

import csv
import gzip
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

REAL = Path(__file__).parents[4] / "shared" / "data" / "omop_gibleed"
READER = "hospital reader"
PASSWORD = "p@ss:w/rd #1"
_STOP_SECONDS = 30.0
# The server ends when its input does: with the fixture, or with the tests, however they end.
_ATTENDED = '"$@" & server=$!; cat >/dev/null; kill -INT $server; wait $server'

Rows = list[dict[str, Any]]


@pytest.fixture(scope="session")
def gibleed() -> Path:
    if not REAL.is_dir():
        pytest.skip("no OMOP demo tables in ../shared/data")
    return REAL


@dataclass(frozen=True)
class Imported:
    """A site folder just written."""

    path: Path
    summary: Any

    def events(self, subject: int = 1) -> list[tuple[str | None, str, float | None, int | None]]:
        """One subject's events (time, code, value, visit), in the order on disk."""
        return [row[1:] for row in self.rows() if row[0] == subject]

    def rows(self) -> list[tuple[Any, ...]]:
        """All events, in the order on disk; times as text to the second."""
        tables = [pq.read_table(file) for file in sorted((self.path / "data").glob("*.parquet"))]
        found = []
        for row in (row for table in tables for row in table.to_pylist()):
            when = row["time"] and row["time"].isoformat(" ", "seconds")
            found.append(
                (row["subject_id"], when, row["code"], row["numeric_value"], row["visit_id"])
            )
        return found

    def codes_used(self) -> set[str]:
        return {row[2] for row in self.rows()}

    def codes(self) -> dict[str, dict[str, Any]]:
        """Rows of `codes.parquet`, by code."""
        rows = pq.read_table(self.path / "metadata" / "codes.parquet").to_pylist()
        return {row["code"]: row for row in rows}

    def files(self) -> dict[str, bytes]:
        """Every file's bytes, by its place in the folder."""
        files = [file for file in self.path.rglob("*") if file.is_file()]
        return {str(file.relative_to(self.path)): file.read_bytes() for file in files}


@pytest.fixture
def run_import(tmp_path: Path) -> Callable[..., Imported]:
    """`run_import(source, timezone=..., source_concepts=...)`: into a new folder each time."""
    from fedehr_client.importers.engine.settings import ImportSettings
    from fedehr_client.importers.engine.write import write_records
    from fedehr_client.importers.omop.importer import OmopImporter

    numbers = itertools.count()

    def run(source: Path | str, **options: Any) -> Imported:
        names = {"schemas", "source_concepts", "keep_unmapped"} & options.keys()
        importer = OmopImporter(str(source), **{name: options.pop(name) for name in names})
        settings = ImportSettings(**{"memory_limit_bytes": 8 * 10**9, **options})
        out = tmp_path / "imported" / str(next(numbers)) / "site"
        return Imported(out, write_records(importer, out, settings, lambda _: None))

    return run


@pytest.fixture
def cdm() -> dict[str, Rows]:
    """A small CDM 5.4: two people and the concepts that tests use."""
    return {
        "person": [
            {"person_id": 1, "gender_concept_id": 8507, "year_of_birth": 1950,
             "month_of_birth": 4, "day_of_birth": 12, "birth_datetime": ""},
            {"person_id": 2, "gender_concept_id": 8532, "year_of_birth": 1960,
             "month_of_birth": "", "day_of_birth": "", "birth_datetime": ""},
        ],
        "concept": [dict(zip(CONCEPT_COLUMNS, row, strict=True)) for row in CONCEPTS],
    }  # fmt: skip


CONCEPT_COLUMNS = ("concept_id", "concept_name", "domain_id", "vocabulary_id", "concept_class_id",
                   "standard_concept", "concept_code")  # fmt: skip
CONCEPTS = [
    (0, "No matching concept", "Metadata", "None", "Undefined", "", "No matching concept"),
    (101, "Asthma", "Condition", "SNOMED", "Disorder", "S", "195967001"),
    (102, "Disorder of lung", "Condition", "SNOMED", "Disorder", "S", "19829001"),
    (103, "Clinical finding", "Condition", "SNOMED", "Clinical Finding", "S", "404684003"),
    (104, "Unspecified asthma", "Condition", "ICD10CM", "5-char billing code", "", "J45.909"),
    (105, "Asthma", "Condition", "ICD10CM", "3-char nonbill code", "", "J45"),
    (106, "Local asthma", "Condition", "Local", "Local", "", "AST"),
    (107, "Allergic state", "Observation", "SNOMED", "Disorder", "S", "419076005"),
    (201, "aspirin 81 MG Oral Tablet", "Drug", "RxNorm", "Clinical Drug", "S", "243670"),
    (202, "aspirin 81 MG", "Drug", "RxNorm", "Clinical Drug Comp", "S", "315431"),
    (203, "aspirin", "Drug", "RxNorm", "Ingredient", "S", "1191"),
    (204, "acetylsalicylic acid; oral", "Drug", "ATC", "ATC 5th", "C", "B01AC06"),
    (301, "Creatinine", "Measurement", "LOINC", "Lab Test", "S", "2160-0"),
    (302, "Influenza virus A", "Measurement", "LOINC", "Lab Test", "S", "92142-9"),
    (303, "Office consultation", "Procedure", "CPT4", "CPT4", "S", "99241"),
    (304, "Tobacco use", "Observation", "LOINC", "Survey", "S", "11367-0"),
    (8840, "milligram per deciliter", "Unit", "UCUM", "Unit", "S", "mg/dL"),
    (8749, "micromole per liter", "Unit", "UCUM", "Unit", "S", "umol/L"),
    (9191, "Positive", "Meas Value", "LOINC", "Answer", "S", "LA6576-8"),
    (9201, "Inpatient Visit", "Visit", "Visit", "Visit", "S", "IP"),
    (262, "Emergency Room and Inpatient Visit", "Visit", "Visit", "Visit", "S", "ERIP"),
    (9203, "Emergency Room Visit", "Visit", "Visit", "Visit", "S", "ER"),
    (9202, "Outpatient Visit", "Visit", "Visit", "Visit", "S", "OP"),
    (581477, "Office Visit", "Visit", "Visit", "Visit", "S", "OMOP4822458"),
    (581379, "Inpatient Critical Care Facility", "Visit", "CMS Place of Service", "Visit", "S",
     "OMOP4822042"),
    (581383, "Inpatient Cardiac Care Facility", "Visit", "CMS Place of Service", "Visit", "S",
     "OMOP4822038"),
    (42898160, "Non-hospital institution Visit", "Visit", "Visit", "Visit", "S", "LTCP"),
    (8536, "Home", "Visit", "CMS Place of Service", "Visit", "S", "12"),
    (8863, "Skilled Nursing Facility", "Visit", "CMS Place of Service", "Visit", "S", "31"),
    (4216643, "Patient died", "Observation", "SNOMED", "Event", "S", "397709008"),
]  # fmt: skip


@pytest.fixture(scope="session")
def write_cdm() -> Callable[[Path, dict[str, Rows]], Path]:
    """Write tables as CSV, each with the columns that its rows name."""

    def write(folder: Path, tables: dict[str, Rows]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in tables.items():
            columns = list(dict.fromkeys(key for row in rows for key in row))
            with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, columns)
                writer.writeheader()
                writer.writerows(rows)
        return folder

    return write


@dataclass(frozen=True)
class PostgresServer:
    """A running server; its owner comes in by the socket, readers by TCP and password."""

    programs: Path
    folder: Path
    port: int

    def url(self, database: str, password: str = PASSWORD, options: str = "") -> str:
        user = quote(READER)
        secret = f":{quote(password, safe='')}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}{options}"

    def run(self, sql: str, database: str = "postgres", rows: bytes = b"") -> str:
        command = [self.programs / "psql", "-v", "ON_ERROR_STOP=1", "-qAtX", "-h", self.folder]
        command += ["-p", str(self.port), "-U", "owner", "-d", database, "-c", sql]
        done = subprocess.run(command, input=rows, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def new_database(self, name: str, schema: str = "cdm") -> None:
        self.run(f"CREATE DATABASE {name}")
        self.run(
            f'CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO "{READER}"; '
            f'ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO "{READER}"',
            name,
        )

    def load(self, database: str, folder: Path, schema: str = "cdm") -> None:
        """Load each table of a folder of CSV files, with the CDM's own types of columns."""
        for file in sorted(folder.glob("*.csv*")):
            content = file.read_bytes()
            first, _, rows = (
                gzip.decompress(content) if file.suffix == ".gz" else content
            ).partition(b"\n")
            header = next(csv.reader([first.decode().strip()]))
            names = [name.removeprefix("date(").partition(",")[0].lower() for name in header]
            if any(" " in name for name in names):
                continue
            columns = ", ".join(f"{name} {_sql_type(name)}" for name in names)
            table = f"{schema}.{file.name.partition('.')[0].lower()}"
            self.run(f"CREATE TABLE {table} ({columns})", database)
            self.run(f"COPY {table} FROM STDIN (FORMAT csv)", database, rows)


def _sql_type(column: str) -> str:
    if column.endswith("_datetime"):
        return "timestamp"
    if column.endswith("_date"):
        return "date"
    if column in ("value_as_number", "quantity", "range_low", "range_high"):
        return "numeric"
    texts = ("vocabulary_id", "domain_id", "concept_class_id", "relationship_id",
             "reverse_relationship_id", "unique_device_id", "production_id",
             "specimen_source_id")  # fmt: skip
    if column.endswith(("_id", "_id_1", "_id_2")) and column not in texts:
        return "bigint"
    return "integer" if column.endswith("_of_birth") else "text"


def _programs() -> Path:
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        if all((place / name).exists() for name in ("initdb", "postgres", "psql")):
            return place
    pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server on loopback with a private folder, run as an ordinary user."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="omop-pg-", dir="/tmp"))
    as_user: dict[str, Any] = {"cwd": folder}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root.
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        as_user |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = PostgresServer(programs, folder, port)
    process: subprocess.Popen[bytes] | None = None
    try:
        initdb = [programs / "initdb", "-D", folder / "data", "-U", "owner", "--no-sync"]
        initdb += ["--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C"]
        subprocess.run(initdb, check=True, capture_output=True, **as_user)
        command: list[Any] = [programs / "postgres", "-D", folder / "data", "-k", folder]
        command += ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _ATTENDED, "sh", *command],
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, **as_user,
            )  # fmt: skip
        _wait_until_ready(server)
        server.run(f"CREATE ROLE \"{READER}\" LOGIN PASSWORD '{PASSWORD}'")
        yield server
    finally:
        if process is not None:
            _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(server: PostgresServer) -> None:
    ready = [server.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(server.port)]
    deadline = time.monotonic() + _STOP_SECONDS
    while subprocess.run(ready, check=False).returncode != 0:
        assert time.monotonic() < deadline, (server.folder / "log").read_text()
        time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()

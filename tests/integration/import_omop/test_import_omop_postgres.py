"""The same records from a real PostgreSQL: the same bytes, read only, and no secret told."""

import json
import os
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedehr_shared.errors import ConfigError, DataError, FedehrError, NetworkError, UsageError

pytestmark = pytest.mark.debian

Run = Callable[..., Any]
Server = Any
PROGRAM = Path(sys.executable).parent / "fedehr-client"
PASSWORD = "p@ss:w/rd #1"
TABLE = "CREATE TABLE cdm.{} AS {}"
PERSON = TABLE.format("person", "SELECT 1 AS person_id, 8507 AS gender_concept_id, "
                      "1950 AS year_of_birth")  # fmt: skip


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    """A new database with a schema `cdm` that holds one person."""
    name = f"d{uuid.uuid4().hex}"
    postgres.new_database(name)
    postgres.run(PERSON, name)
    yield name
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def loaded(postgres: Server, gibleed: Path) -> str:
    """The demo tables in a database, with the types of the CDM."""
    postgres.new_database("gibleed")
    postgres.load("gibleed", gibleed)
    return "gibleed"


def _state(postgres: Server, database: str) -> str:
    """What writing would change."""
    return str(
        postgres.run(
            "SELECT pg_current_wal_lsn() > '0/0', (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) "
            "FROM pg_stat_user_tables), (SELECT count(*) FROM pg_class)",
            database,
        )
    )


def test_the_same_bytes_as_from_files(
    postgres: Server, loaded: str, gibleed: Path, run_import: Run
) -> None:
    before = _state(postgres, loaded)
    from_database = run_import(postgres.url(loaded), schemas=("cdm",)).files()
    assert from_database == run_import(gibleed).files()
    assert _state(postgres, loaded) == before
    told = b"".join(from_database.values())
    assert b"postgresql" not in told
    assert PASSWORD.encode() not in told


def test_the_command_takes_the_password_from_the_environment(
    postgres: Server, loaded: str, tmp_path: Path
) -> None:
    url = postgres.url(loaded, password="")
    command = [PROGRAM, "import", "omop", url, "--schema", "cdm", "--out", tmp_path / "site"]
    environ = {**os.environ, "PGPASSWORD": PASSWORD}
    done = subprocess.run(
        [*command, "--json"], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_subjects"] == 2694
    assert PASSWORD not in done.stdout + done.stderr
    passfile = tmp_path / "pgpass"
    escaped = PASSWORD.replace(":", "\\:")
    passfile.write_text(f"127.0.0.1:*:*:*:{escaped}\n")
    passfile.chmod(0o600)
    environ = {**os.environ, "PGPASSFILE": str(passfile)}
    command[-1] = tmp_path / "again"
    assert subprocess.run(command, env=environ, capture_output=True, check=False).returncode == 0


SECRETS = ("p@ss", "p%40ss", "w/rd", "w%2Frd", "wr0ng", "Traceback")
REFUSALS: dict[str, tuple[Callable[[Any], tuple[str, str]], type[FedehrError], str]] = {
    "wrong password": (lambda p: (p.url("gibleed", "wr0ng"), "cdm"), NetworkError, "password"),
    "no database": (lambda p: (p.url("role"), "cdm"), ConfigError, "no database"),
    "no schema": (lambda p: (p.url("gibleed"), "none"), ConfigError, "no schema none"),
    "no person": (lambda p: (p.url("gibleed"), "public"), DataError, "no table 'person'"),
    "no TLS": (
        lambda p: (p.url("gibleed", options="?sslmode=require"), "cdm"), NetworkError, "TLS"
    ),
    "unknown option": (
        lambda p: (p.url("gibleed", options="?nonsense=wr0ng"), "cdm"), ConfigError, "URL"
    ),
    "nobody there": (
        lambda p: (p.url("gibleed").replace(str(p.port), "1"), "cdm"), NetworkError, "no connection"
    ),
    "no host": (
        lambda p: (p.url("gibleed").replace("127.0.0.1", "host.invalid"), "cdm"),
        NetworkError, "not known",
    ),
    "bad URL": (
        lambda p: (p.url("gibleed").replace("%23", "#"), "cdm"), UsageError, "percent-encoded"
    ),
    "bad encoding": (
        lambda p: (p.url("gibleed").replace("%23", "%zz"), "cdm"), ConfigError, "percent-encoded"
    ),
}  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refusals_take_a_line_and_tell_no_secret(
    refusal: str, postgres: Server, loaded: str, run_import: Run, tmp_path: Path
) -> None:
    change, kind, told = REFUSALS[refusal]
    url, schema = change(postgres)
    with pytest.raises(kind, match=told) as caught:
        run_import(url, schemas=(schema,))
    assert "\n" not in str(caught.value)
    trace = "".join(traceback.format_exception(caught.value))
    assert [secret for secret in SECRETS[:-1] if secret in trace] == []
    assert list((tmp_path / "imported").glob("*/*")) == []


def test_the_command_refuses_in_a_line(postgres: Server, loaded: str, tmp_path: Path) -> None:
    url = postgres.url(loaded, "wr0ng")
    command = [PROGRAM, "import", "omop", url, "--schema", "cdm", "--out", tmp_path / "site"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert len(done.stderr.strip().splitlines()) == 1
    assert [secret for secret in SECRETS if secret in done.stdout + done.stderr] == []
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_may_not_be_read_is_named(
    postgres: Server, database: str, run_import: Run
) -> None:
    postgres.run(TABLE.format("death", "SELECT 1 AS person_id, date '2010-01-01' AS death_date")
                 + '; REVOKE SELECT ON cdm.death FROM "hospital reader"', database)  # fmt: skip
    with pytest.raises(ConfigError, match=r"may not read table 'death'.*GRANT SELECT"):
        run_import(postgres.url(database), schemas=("cdm",))


def test_a_missing_column_is_named(postgres: Server, database: str, run_import: Run) -> None:
    postgres.run(TABLE.format("death", "SELECT 1 AS person_id"), database)
    with pytest.raises(DataError, match=r"'cdm.death'.*'death_date'"):
        run_import(postgres.url(database), schemas=("cdm",))


def test_schemas_are_searched_in_their_order(
    postgres: Server, database: str, run_import: Run
) -> None:
    concept = "SELECT {} AS concept_id, 'C' AS concept_name, 'S' AS standard_concept, " \
              "'{}' AS vocabulary_id, '7' AS concept_code"  # fmt: skip
    postgres.run(
        'CREATE SCHEMA "Vocabulary"; GRANT USAGE ON SCHEMA "Vocabulary" TO "hospital reader"; '
        'CREATE TABLE "Vocabulary"."CONCEPT" AS ' + concept.format(301, "LOINC") + "; "
        'GRANT SELECT ON "Vocabulary"."CONCEPT" TO "hospital reader"; '
        "CREATE VIEW cdm.measurement AS SELECT 1::numeric AS person_id, "
        "301::numeric AS \"MEASUREMENT_CONCEPT_ID\", timestamp '2010-01-02' AS measurement_date, "
        "'NaN'::numeric AS value_as_number",
        database,
    )
    found = run_import(postgres.url(database), schemas=("cdm", "Vocabulary"))
    assert "LOINC//7" in found.codes_used()
    found = run_import(postgres.url(database), schemas=("cdm",))
    assert "OMOP//301" in found.codes_used()


def test_dates_beyond_arrow_are_bad_rows(postgres: Server, database: str, run_import: Run) -> None:
    values = "infinity", "-infinity", "4000-01-01 BC", "294000-01-01", "2010-01-02"
    rows = " UNION ALL ".join(
        f"SELECT 1 AS person_id, 301 AS measurement_concept_id, date '2010-01-01' AS "
        f"measurement_date, timestamp '{value}' AS measurement_datetime"
        for value in values
    )
    postgres.run(TABLE.format("measurement", rows), database)
    imported = run_import(postgres.url(database), schemas=("cdm",), max_bad_share=1)
    bad = imported.summary.tables["measurement"]["bad_rows"]
    assert sum(reason["num"] for reason in bad.values()) == 4
    assert [row[0] for row in imported.events() if row[1] == "OMOP//301"] == ["2010-01-02 00:00:00"]


def test_zoned_time_stamps_need_a_zone(postgres: Server, database: str, run_import: Run) -> None:
    row = (
        "SELECT 1 AS person_id, 301 AS measurement_concept_id, date '2010-07-01' AS "
        "measurement_date, timestamptz '2010-07-01 12:00:00+02' AS measurement_datetime"
    )
    postgres.run(TABLE.format("measurement", row), database)
    with pytest.raises(DataError, match="offset from UTC, and no time zone"):
        run_import(postgres.url(database), schemas=("cdm",))
    imported = run_import(postgres.url(database), schemas=("cdm",), timezone="Europe/Berlin")
    assert imported.events()[-1][:2] == ("2010-07-01 10:00:00", "OMOP//301")


def test_a_value_that_fits_no_type_is_told_without_it(
    postgres: Server, database: str, run_import: Run
) -> None:
    row = "SELECT 1 AS person_id, 301 AS measurement_concept_id, date '2010-07-01' AS " \
          "measurement_date, '1e400'::numeric AS value_as_number"  # fmt: skip
    postgres.run(TABLE.format("measurement", row), database)
    with pytest.raises(DataError, match="could not deliver table 'measurement'") as caught:
        run_import(postgres.url(database), schemas=("cdm",))
    assert "000" not in str(caught.value)


def test_one_snapshot_over_all_tables(
    postgres: Server, database: str, run_import: Run, tmp_path: Path
) -> None:
    """Rows that others commit while the import runs are in none of the tables."""
    from fedehr_client.importers.engine.settings import ImportSettings
    from fedehr_client.importers.engine.write import write_records
    from fedehr_client.importers.omop.importer import OmopImporter

    postgres.run(TABLE.format("death", "SELECT 1 AS person_id, date '2010-01-01' AS death_date"),
                 database)  # fmt: skip
    seen = []

    def change_meanwhile(step: str) -> None:
        if step == "reading table death":
            seen.append(step)
            postgres.run("INSERT INTO cdm.person VALUES (2, 8507, 1960); "
                         "UPDATE cdm.death SET death_date = '2015-01-01'", database)  # fmt: skip

    out = tmp_path / "site"
    importer = OmopImporter(postgres.url(database), ("cdm",))
    summary = write_records(
        importer, out, ImportSettings(memory_limit_bytes=8 * 10**9), change_meanwhile
    )
    assert seen
    assert summary.num_subjects == 1
    events = run_import(postgres.url(database), schemas=("cdm",)).rows()
    assert (1, "2015-01-01 23:59:59", "MEDS_DEATH", None, None) in events
    import pyarrow.parquet as pq

    (file,) = (out / "data").glob("*.parquet")
    deaths = [r["time"] for r in pq.read_table(file).to_pylist() if r["code"] == "MEDS_DEATH"]
    assert [when.year for when in deaths] == [2010]


def test_the_transaction_refuses_to_write(postgres: Server, database: str) -> None:
    from contextlib import closing

    from adbc_driver_manager import dbapi

    from fedehr_client.importers.omop.address import DatabaseAddress
    from fedehr_client.importers.omop.postgres import open_database

    postgres.run('GRANT INSERT ON cdm.person TO "hospital reader"', database)
    address = DatabaseAddress.parse(postgres.url(database))
    with open_database(address, ("cdm",)) as opened, closing(opened.cursor()) as cursor:
        with pytest.raises(dbapi.Error) as caught:
            cursor.execute("INSERT INTO cdm.person VALUES (2, 8507, 1960)")
        assert caught.value.sqlstate == "25006"


def test_a_connection_that_broke_between_two_tables_is_told(
    postgres: Server, database: str, tmp_path: Path
) -> None:
    from fedehr_client.importers.engine.settings import ImportSettings
    from fedehr_client.importers.engine.workspace import Workspace
    from fedehr_client.importers.omop.address import DatabaseAddress
    from fedehr_client.importers.omop.postgres import open_database
    from fedehr_client.importers.omop.tables import PERSON as TABLE_OF_PERSONS

    address = DatabaseAddress.parse(postgres.url(database))
    with (
        Workspace(ImportSettings(memory_limit_bytes=4 * 10**9), beside=tmp_path) as workspace,
        open_database(address, ("cdm",)) as opened,
    ):
        postgres.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> "
            f"pg_backend_pid() AND datname = '{database}'",
            database,
        )
        with pytest.raises(NetworkError, match="connection broke while table 'person'"):
            opened.open(workspace, TABLE_OF_PERSONS)


def test_a_broken_connection_leaves_nothing(
    postgres: Server, database: str, run_import: Run, tmp_path: Path
) -> None:
    postgres.run(
        "CREATE VIEW cdm.measurement AS SELECT 1 AS person_id, 301 AS measurement_concept_id, "
        "date '2010-07-01' AS measurement_date, pg_sleep(0.0001)::text AS value_as_number "
        "FROM generate_series(1, 10000000)",
        database,
    )
    kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = " \
           f"'{database}' AND query LIKE 'COPY%measurement%'"  # fmt: skip

    def break_it() -> None:
        while postgres.run(kill).strip() == "0":
            time.sleep(0.1)

    breaker = threading.Thread(target=break_it)
    breaker.start()
    with pytest.raises(NetworkError, match="connection broke while table 'measurement'"):
        run_import(postgres.url(database), schemas=("cdm",))
    breaker.join()
    assert list((tmp_path / "imported").glob("*/*")) == []


def test_rows_stream_within_the_memory_limit(
    postgres: Server, database: str, tmp_path: Path
) -> None:
    postgres.run(
        TABLE.format(
            "measurement",
            "SELECT 1 AS person_id, (3000000 + i % 300)::int AS measurement_concept_id, "
            "date '2010-01-01' + (i % 3000) AS measurement_date, timestamp '2010-01-01 00:00:01' + "
            "i * interval '1 minute' AS measurement_datetime, (i % 1000)::numeric / 8 AS "
            "value_as_number, 8840 AS unit_concept_id FROM generate_series(1, 1000000) i",
        ),
        database,
    )
    command = [PROGRAM, "import", "omop", postgres.url(database), "--schema", "cdm", "--out",
               tmp_path / "site", "--memory-limit", "300MB", "--json"]  # fmt: skip
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        program = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, program.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.01)
        assert process.stdout is not None
        told = json.loads(process.stdout.read())
    assert told["num_events"] == 1_000_002
    assert peak < 1.3 * 300e6

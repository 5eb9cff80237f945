"""Files as hospitals have them: Parquet, missing tables, other headers, hostile content."""

import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fedehr_shared.errors import DataError, FedehrError

Tables = dict[str, list[dict[str, Any]]]
Write = Callable[[Path, Tables], Path]
Run = Callable[..., Any]
SECRET = "do-not-print-4711"


@pytest.fixture
def tables(cdm: Tables) -> Tables:
    """A CDM with a few rows in each of five tables."""
    draw = random.Random(0)
    cdm["visit_occurrence"] = [
        {"visit_occurrence_id": n, "person_id": n % 2 + 1, "visit_concept_id": 9201,
         "visit_start_date": f"2010-{n:02}-01", "visit_start_datetime": f"2010-{n:02}-01 10:00:00",
         "visit_end_date": f"2010-{n:02}-05", "visit_end_datetime": f"2010-{n:02}-05 11:30:00"}
        for n in range(1, 10)
    ]  # fmt: skip
    cdm["measurement"] = [
        {"person_id": n % 2 + 1, "measurement_concept_id": 301, "unit_concept_id": 8840,
         "measurement_date": f"2010-0{n % 9 + 1}-02", "value_as_concept_id": 0,
         "measurement_datetime": f"2010-0{n % 9 + 1}-02 {n % 24:02}:15:00",
         "value_as_number": draw.randrange(100) / 8, "visit_occurrence_id": n % 9 + 1}
        for n in range(300)
    ]  # fmt: skip
    cdm["condition_occurrence"] = [
        {"person_id": 1, "condition_concept_id": 101, "condition_start_date": "2010-01-03",
         "condition_source_concept_id": 104}
    ]  # fmt: skip
    cdm["observation_period"] = [{"person_id": 1, "observation_period_end_date": "2011-01-01"}]
    return cdm


def test_parquet_gives_the_same_as_csv(
    tables: Tables, write_cdm: Write, run_import: Run, tmp_path: Path
) -> None:
    folder = write_cdm(tmp_path / "csv", tables)
    typed = tmp_path / "typed"
    (typed / "measurement").mkdir(parents=True)
    with duckdb.connect() as connection:
        for file in folder.glob("*.csv"):
            # Types as DuckDB finds them: dates, time stamps, numbers.
            source = f"read_csv('{file}', header = true)"
            connection.execute(f"COPY (FROM {source}) TO '{typed}/{file.stem}.parquet'")
        parts = f"read_parquet('{typed}/measurement.parquet')"
        for part in (0, 1):
            where = f"person_id % 2 = {part}"
            connection.execute(
                f"COPY (FROM {parts} WHERE {where}) TO '{typed}/measurement/{part}.parquet'"
            )
    (typed / "measurement.parquet").unlink()
    assert run_import(typed).rows() == run_import(folder).rows()


def test_headers_in_any_case_and_wrapped(
    tables: Tables, write_cdm: Write, run_import: Run, tmp_path: Path
) -> None:
    plain = run_import(write_cdm(tmp_path / "plain", tables)).rows()

    def renamed(row: dict[str, Any]) -> dict[str, Any]:
        return {
            f"date({name},'unixepoch')" if name.endswith("_date") else name.upper(): value
            for name, value in row.items()
        }

    other = {name: [renamed(row) for row in rows] for name, rows in tables.items()}
    folder = write_cdm(tmp_path / "other", other)
    for file in folder.glob("*.csv"):
        file.rename(folder / file.name.upper())
    assert run_import(folder).rows() == plain


@pytest.mark.parametrize(
    "missing", ["visit_occurrence", "measurement", "observation_period", "concept"]
)
def test_only_person_must_be_there(
    missing: str, tables: Tables, write_cdm: Write, run_import: Run, tmp_path: Path
) -> None:
    del tables[missing]
    imported = run_import(write_cdm(tmp_path / "cdm", tables))
    assert missing not in imported.summary.tables
    assert imported.summary.num_subjects == 2


def test_a_missing_column_is_named(
    tables: Tables, write_cdm: Write, run_import: Run, tmp_path: Path
) -> None:
    for row in tables["measurement"]:
        del row["measurement_date"]
    with pytest.raises(DataError, match=r"'measurement'.*measurement_date"):
        run_import(write_cdm(tmp_path / "cdm", tables))


def test_bad_rows_are_counted_and_never_shown(
    tables: Tables, write_cdm: Write, run_import: Run, tmp_path: Path
) -> None:
    good = run_import(write_cdm(tmp_path / "good", tables)).rows()
    like = tables["measurement"][0]
    tables["measurement"] += [
        like | {"person_id": SECRET},
        like | {"measurement_date": SECRET},
        like | {"measurement_date": "2999-12-31", "measurement_datetime": ""},
        like | {"measurement_date": "1492-10-12", "measurement_datetime": ""},
        like | {"measurement_datetime": "infinity"},
        like | {"value_as_number": SECRET},
        like | {"measurement_concept_id": "301; DROP TABLE measurement"},
        like | {"person_id": 10**30},
    ]
    folder = write_cdm(tmp_path / "bad", tables)
    with pytest.raises(DataError, match="8 of 308 rows are bad") as caught:
        run_import(folder)
    assert SECRET not in str(caught.value)
    imported = run_import(folder, max_bad_share=0.1)
    assert imported.rows() == good
    bad = imported.summary.tables["measurement"]["bad_rows"]
    rows = sorted(row for reason in bad.values() for row in reason["rows"])
    assert rows == list(range(301, 309))
    assert SECRET not in str(imported.files())


def test_hostile_names_and_codes_stay_text(
    tables: Tables, write_cdm: Write, run_import: Run, tmp_path: Path
) -> None:
    hostile = [
        "'; DROP TABLE concept; --",
        '"quoted", and\nbroken',
        "a//b//c",
        "\u0000nul?",
        "%s{0}",
    ]
    for number, text in enumerate(hostile, start=500):
        tables["concept"].append(
            {"concept_id": number, "concept_name": text, "domain_id": "Condition",
             "vocabulary_id": "Local", "concept_class_id": text, "standard_concept": "S",
             "concept_code": text}
        )  # fmt: skip
        tables["condition_occurrence"].append(
            {"person_id": 1, "condition_concept_id": number, "condition_start_date": "2010-01-03"}
        )
    imported = run_import(write_cdm(tmp_path / "a 'strange' [folder]?*", tables))
    used = imported.codes_used()
    for text in hostile:
        assert f"Local//{text}" in used
        assert imported.codes()[f"Local//{text}"]["description"] == text


def test_damaged_files_leave_nothing(
    tables: Tables, write_cdm: Write, run_import: Run, tmp_path: Path
) -> None:
    folder = write_cdm(tmp_path / "cdm", tables)
    content = (folder / "measurement.csv").read_bytes()
    packed = gzip.compress(content, mtime=0)
    (folder / "measurement.csv").unlink()
    draw = random.Random(1)
    for name, damaged in {
        "measurement.csv.gz": packed[:-40],
        "measurement.parquet": packed,
        "measurement.csv": b"",
        "Measurement.csv": bytes(draw.randrange(256) for _ in range(4000)),
    }.items():
        (folder / name).write_bytes(damaged)
        with pytest.raises(FedehrError):
            run_import(folder)
        (folder / name).unlink()
    assert not list((tmp_path / "imported").glob("*/*"))


def test_numbers_written_as_floats_are_whole(
    tables: Tables, write_cdm: Write, run_import: Run, tmp_path: Path
) -> None:
    good = run_import(write_cdm(tmp_path / "good", tables)).rows()
    for row in tables["measurement"]:
        row["visit_occurrence_id"] = f"{row['visit_occurrence_id']}.0"
        row["measurement_concept_id"] = f"{row['measurement_concept_id']}.0"
    assert run_import(write_cdm(tmp_path / "floats", tables)).rows() == good


def test_vocabulary_files_of_ohdsi_are_tables_of_tabs_without_quotes(
    tables: Tables, write_cdm: Write, run_import: Run, tmp_path: Path
) -> None:
    good = run_import(write_cdm(tmp_path / "good", tables)).rows()
    names = {301: '"Creatinine" in serum', 101: 'Asthma, the "other', 8840: "mg per dL"}
    folder = write_cdm(tmp_path / "cdm", tables)
    columns = list(tables["concept"][0])
    lines = ["\t".join(columns)]
    for row in tables["concept"]:
        told = row | {"concept_name": names.get(row["concept_id"], row["concept_name"])}
        lines.append("\t".join(str(told[column]) for column in columns))
    (folder / "concept.csv").unlink()
    (folder / "CONCEPT.csv").write_text("\n".join(lines) + "\n")
    imported = run_import(folder)
    assert imported.rows() == good
    assert imported.summary.tables["concept"]["bad_rows"] == {}
    assert imported.codes()["LOINC//2160-0"]["description"] == names[301]
    assert imported.codes()["SNOMED//195967001"]["description"] == names[101]

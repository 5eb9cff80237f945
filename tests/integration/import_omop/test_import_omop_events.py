"""Rows of CDM tables as events: who, when, with which value, and what is left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedehr_shared.errors import DataError

Tables = dict[str, list[dict[str, Any]]]
Write = Callable[[Path, Tables], Path]


def _measurement(**changes: Any) -> dict[str, Any]:
    row = {"person_id": 1, "measurement_concept_id": 301, "measurement_date": "2010-01-02"}
    row |= {"measurement_datetime": "", "value_as_number": "", "value_as_concept_id": "",
            "unit_concept_id": "", "visit_occurrence_id": ""}  # fmt: skip
    return row | changes


def test_birth_and_sex(
    cdm: Tables, write_cdm: Write, run_import: Callable[..., Any], tmp_path: Path
) -> None:
    births = [
        (1950, 4, 12, ""),
        (1960, "", "", ""),
        (1970, 5, "", ""),
        (1980, 2, 30, ""),
        (1990, 1, 1, "1990-01-01 07:30:00"),
        (1991, 1, 1, "1991-01-01"),
        (1600, 1, 1, ""),
        ("", "", "", ""),
    ]
    columns = ("year_of_birth", "month_of_birth", "day_of_birth", "birth_datetime")
    sexes = {8507: "M", 8532: "F", 0: "U", "": "U"}
    people = list(zip(births, [*sexes] * 2, strict=True))
    cdm["person"] = [
        {"person_id": n, "gender_concept_id": sex, **dict(zip(columns, birth, strict=True))}
        for n, (birth, sex) in enumerate(people, start=1)
    ]
    imported = run_import(write_cdm(tmp_path / "cdm", cdm))
    found = {row[0]: row[1] for row in imported.rows() if row[2] == "MEDS_BIRTH"}
    assert found == {
        1: "1950-04-12 00:00:00",
        2: "1960-01-01 00:00:00",
        3: "1970-05-01 00:00:00",
        4: "1980-02-01 00:00:00",
        5: "1990-01-01 07:30:00",
        6: "1991-01-01 00:00:00",
    }
    assert imported.summary.left_out["person_without_a_birth_date"] == 2
    static = {row[0]: row[1:3] for row in imported.rows() if row[2].startswith("SEX")}
    expected = [(None, f"SEX//{sexes[sex]}") for _, sex in people]
    assert static == dict(enumerate(expected, start=1))


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York", "Asia/Tokyo"])
def test_a_birth_day_begins_at_local_midnight(
    zone: str | None,
    cdm: Tables,
    write_cdm: Write,
    run_import: Callable[..., Any],
    tmp_path: Path,
) -> None:
    cdm["person"] = [
        {"person_id": 1, "gender_concept_id": 8507, "year_of_birth": 1990, "month_of_birth": 3,
         "day_of_birth": 5, "birth_datetime": at}
        | {"person_id": n + 1}
        for n, at in enumerate(["", "1990-03-05", "1990-03-05 00:00:00"])
    ]  # fmt: skip
    imported = run_import(write_cdm(tmp_path / "cdm", cdm), timezone=zone)
    hour = {None: "05 00", "UTC": "05 00", "America/New_York": "05 05", "Asia/Tokyo": "04 15"}
    births = {row[1] for row in imported.rows() if row[2] == "MEDS_BIRTH"}
    assert births == {f"1990-03-{hour[zone]}:00:00"}


def test_a_person_twice_is_refused(
    cdm: Tables, write_cdm: Write, run_import: Callable[..., Any], tmp_path: Path
) -> None:
    cdm["person"].append(cdm["person"][0])
    with pytest.raises(DataError, match=r"1 row.* repeat a person_id") as caught:
        run_import(write_cdm(tmp_path / "cdm", cdm))
    assert "1950" not in str(caught.value)


def test_nobody_is_refused(
    cdm: Tables, write_cdm: Write, run_import: Callable[..., Any], tmp_path: Path
) -> None:
    folder = write_cdm(tmp_path / "cdm", cdm)
    (folder / "person.csv").write_text("person_id,gender_concept_id\n")
    with pytest.raises(DataError, match="holds nobody"):
        run_import(folder)
    (folder / "person.csv").unlink()
    with pytest.raises(DataError, match="no table 'person'"):
        run_import(folder)


def test_death_is_one_event_the_earliest(
    cdm: Tables, write_cdm: Write, run_import: Callable[..., Any], tmp_path: Path
) -> None:
    cdm["death"] = [
        {"person_id": 1, "death_date": "2012-03-05", "death_datetime": ""},
        {"person_id": 1, "death_date": "2012-03-04", "death_datetime": "2012-03-04 10:15:00"},
        {"person_id": 77, "death_date": "2012-03-04", "death_datetime": ""},
    ]
    imported = run_import(write_cdm(tmp_path / "cdm", cdm))
    deaths = [row for row in imported.rows() if row[2] == "MEDS_DEATH"]
    assert deaths == [(1, "2012-03-04 10:15:00", "MEDS_DEATH", None, None)]
    assert imported.summary.left_out["death_told_again"] == 1
    assert imported.summary.left_out["death_of_unknown_person"] == 1


def test_a_day_without_an_hour_is_known_at_its_end(
    cdm: Tables, write_cdm: Write, run_import: Callable[..., Any], tmp_path: Path
) -> None:
    cdm["measurement"] = [
        _measurement(measurement_date="2010-01-02"),
        _measurement(measurement_date="2010-01-03", measurement_datetime="2010-01-03"),
        _measurement(measurement_date="2010-01-04", measurement_datetime="2010-01-04 00:00:00"),
        _measurement(measurement_date="2010-01-05", measurement_datetime="2010-01-05 08:15:00"),
        # A stamp on another day than the date is a stamp.
        _measurement(measurement_date="2010-01-06", measurement_datetime="2010-01-07 00:00:00"),
    ]
    folder = write_cdm(tmp_path / "cdm", cdm)
    times = [row[0] for row in run_import(folder).events() if row[1] == "LOINC//2160-0"]
    ends = ["2010-01-02 23:59:59", "2010-01-03 23:59:59", "2010-01-04 23:59:59"]
    assert times == [*ends, "2010-01-05 08:15:00", "2010-01-07 00:00:00"]
    zoned = [
        row[0]
        for row in run_import(folder, timezone="America/New_York").events()
        if row[1] == "LOINC//2160-0"
    ]
    ends = ["2010-01-03 04:59:59", "2010-01-04 04:59:59", "2010-01-05 04:59:59"]
    assert zoned == [*ends, "2010-01-05 13:15:00", "2010-01-07 05:00:00"]


def test_values_units_and_answers(
    cdm: Tables, write_cdm: Write, run_import: Callable[..., Any], tmp_path: Path
) -> None:
    cdm["measurement"] = [
        _measurement(value_as_number="1.5", unit_concept_id=8840, visit_occurrence_id=5),
        _measurement(value_as_number="132.5", unit_concept_id=8749, visit_occurrence_id=0),
        _measurement(value_as_number="7", unit_concept_id=0),
        _measurement(value_as_number="8", unit_concept_id=4711),
        _measurement(unit_concept_id=8840),
        _measurement(measurement_concept_id=302, value_as_concept_id=9191),
        # A number says more than its answer.
        _measurement(measurement_concept_id=302, value_as_concept_id=9191, value_as_number=3),
        _measurement(value_as_number="nan", unit_concept_id=8840),
    ]
    cdm["observation"] = [
        {"person_id": 1, "observation_concept_id": 304, "observation_date": "2010-01-02",
         "value_as_number": "", "value_as_concept_id": 9191, "unit_concept_id": ""},
    ]  # fmt: skip
    imported = run_import(write_cdm(tmp_path / "cdm", cdm))
    found = {(row[1], row[2], row[3]) for row in imported.events() if "LOINC" in row[1]}
    assert found == {
        ("LOINC//2160-0//mg/dL", 1.5, 5),
        ("LOINC//2160-0//umol/L", 132.5, None),
        ("LOINC//2160-0//mg/dL", None, None),
        ("LOINC//2160-0", 7.0, None),
        ("LOINC//2160-0//4711", 8.0, None),
        ("LOINC//2160-0", None, None),
        ("LOINC//92142-9//LOINC//LA6576-8", None, None),
        ("LOINC//92142-9", 3.0, None),
        ("LOINC//11367-0//LOINC//LA6576-8", None, None),
    }
    codes = imported.codes()
    assert codes["LOINC//2160-0//mg/dL"]["description"] == "Creatinine (mg/dL)"
    assert codes["LOINC//2160-0//mg/dL"]["parent_codes"] == ["LOINC//2160-0"]
    answer = codes["LOINC//92142-9//LOINC//LA6576-8"]
    assert answer["description"] == "Influenza virus A: Positive"
    assert answer["parent_codes"] == ["LOINC//92142-9"]


def test_concept_0_is_left_out_and_counted_or_kept(
    cdm: Tables, write_cdm: Write, run_import: Callable[..., Any], tmp_path: Path
) -> None:
    cdm["measurement"] = [
        _measurement(measurement_concept_id=0, value_as_number="1", unit_concept_id=8840),
        _measurement(measurement_concept_id=0, value_as_number="2"),
        _measurement(value_as_number="3"),
    ]
    cdm["condition_occurrence"] = [
        {"person_id": 1, "condition_concept_id": 0, "condition_start_date": "2010-01-02"}
    ]
    folder = write_cdm(tmp_path / "cdm", cdm)
    dropped = run_import(folder)
    assert dropped.summary.left_out["measurement_without_concept"] == 2
    assert dropped.summary.left_out["condition_occurrence_without_concept"] == 1
    assert {code for code in dropped.codes_used() if "//" in code} == {
        "SEX//F", "SEX//M", "LOINC//2160-0"
    }  # fmt: skip
    kept = run_import(folder, keep_unmapped=True)
    unmapped = [row[1:3] for row in kept.events() if "NO_MATCHING" in row[1]]
    # One code means many things, so its numbers mean nothing.
    assert sorted(unmapped) == [
        ("CONDITION_OCCURRENCE//NO_MATCHING_CONCEPT", None),
        ("MEASUREMENT//NO_MATCHING_CONCEPT", None),
    ]
    assert "measurement_without_concept" not in kept.summary.left_out
    assert kept.summary.repairs["measurement_without_concept"] == 2


def test_rows_of_unknown_people_are_counted_by_table(
    cdm: Tables, write_cdm: Write, run_import: Callable[..., Any], tmp_path: Path
) -> None:
    cdm["measurement"] = [_measurement(), _measurement(person_id=9), _measurement(person_id=10)]
    imported = run_import(write_cdm(tmp_path / "cdm", cdm))
    assert imported.summary.left_out["measurement_of_unknown_person"] == 2
    assert {row[0] for row in imported.rows()} == {1, 2}


def test_every_table_of_events_is_read(
    cdm: Tables, write_cdm: Write, run_import: Callable[..., Any], tmp_path: Path
) -> None:
    starts = {
        "condition_occurrence": ("condition", "condition_start"),
        "drug_exposure": ("drug", "drug_exposure_start"),
        "procedure_occurrence": ("procedure", "procedure"),
        "device_exposure": ("device", "device_exposure_start"),
        "measurement": ("measurement", "measurement"),
        "observation": ("observation", "observation"),
        "specimen": ("specimen", "specimen"),
    }
    for day, (table, (entity, start)) in enumerate(starts.items(), start=1):
        cdm[table] = [
            {
                "person_id": 1,
                f"{entity}_concept_id": 1000 + day,
                f"{start}_date": f"2010-01-{day:02}",
            }
        ]
        cdm["concept"].append(
            {"concept_id": 1000 + day, "concept_name": table, "domain_id": "X", "concept_code": day,
             "vocabulary_id": "V", "concept_class_id": "C", "standard_concept": "S"}
        )  # fmt: skip
    cdm["observation_period"] = [
        {"person_id": 1, "observation_period_end_date": "2011-05-06"},
        {"person_id": 1, "observation_period_end_date": "2099-12-31"},
    ]
    imported = run_import(write_cdm(tmp_path / "cdm", cdm))
    timed = [row[:2] for row in imported.events() if row[0] and row[1] != "MEDS_BIRTH"]
    expected = [(f"2010-01-{day:02} 23:59:59", f"V//{day}") for day in range(1, 8)]
    assert timed == [*expected, ("2011-05-06 23:59:59", "OBSERVATION_PERIOD_END")]
    assert imported.summary.left_out["observation_period_end_in_the_future"] == 1

"""Visits as the codes that tasks are made of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tables = dict[str, list[dict[str, Any]]]
Write = Callable[[Path, Tables], Path]


def _visit(number: int, concept: int, start: str, end: str = "", **changes: Any) -> dict[str, Any]:
    row = {"visit_occurrence_id": number, "person_id": 1, "visit_concept_id": concept,
           "visit_start_date": start[:10], "visit_start_datetime": start if start[10:] else "",
           "visit_end_date": end[:10], "visit_end_datetime": end if end[10:] else "",
           "admitted_from_concept_id": 0, "discharged_to_concept_id": 0}  # fmt: skip
    return row | changes


def _detail(visit: Any, concept: int, start: str, end: str = "") -> dict[str, Any]:
    return {"visit_detail_id": 1, "person_id": 1, "visit_occurrence_id": visit,
            "visit_detail_concept_id": concept, "visit_detail_start_date": start[:10],
            "visit_detail_start_datetime": start, "visit_detail_end_date": end[:10],
            "visit_detail_end_datetime": end}  # fmt: skip


@pytest.fixture
def visit_events(
    cdm: Tables, write_cdm: Write, run_import: Callable[..., Any], tmp_path: Path
) -> Callable[..., Any]:
    """`visit_events(visits, details)`: (time, code, visit) of subject 1, and the import."""

    def run(
        visits: list[dict[str, Any]], details: list[dict[str, Any]] | None = None, **tables: Any
    ) -> Any:
        cdm.update(visit_occurrence=visits, **tables)
        if details:
            cdm["visit_detail"] = details
        imported = run_import(write_cdm(tmp_path / "cdm", cdm))
        timed = [(row[0], row[1], row[3]) for row in imported.events() if row[0]]
        return [row for row in timed if row[1] != "MEDS_BIRTH"], imported

    return run


def test_kinds_of_visits(visit_events: Callable[..., Any]) -> None:
    found, imported = visit_events(
        [
            _visit(1, 9201, "2010-01-01 10:00:00", "2010-01-05 12:00:00",
                   admitted_from_concept_id=8863, discharged_to_concept_id=8536),
            _visit(2, 262, "2010-02-01 10:00:00", "2010-02-05 12:00:00",
                   discharged_to_concept_id=4216643),
            _visit(3, 8717, "2010-03-01", "2010-03-01"),
            _visit(4, 9203, "2010-04-01 01:00:00", "2010-04-01 09:00:00"),
            _visit(5, 9202, "2010-05-01 11:00:00", "2010-05-01 12:00:00"),
            _visit(6, 581477, "2010-06-01 11:00:00", "2010-06-01 12:00:00"),
            _visit(7, 42898160, "2010-07-01 11:00:00", "2010-08-01 12:00:00"),
            _visit(8, 0, "2010-08-01", "2010-08-01"),
            _visit(9, 581383, "2010-09-01 11:00:00", "2010-09-02 11:00:00"),
        ]
    )  # fmt: skip
    assert found == [
        ("2010-01-01 10:00:00", "HOSPITAL_ADMISSION//SKILLED NURSING FACILITY", 1),
        ("2010-01-05 12:00:00", "HOSPITAL_DISCHARGE//HOME", 1),
        ("2010-02-01 10:00:00", "HOSPITAL_ADMISSION//EMERGENCY", 2),
        ("2010-02-05 12:00:00", "HOSPITAL_DISCHARGE//DIED", 2),
        ("2010-03-01 23:59:59", "HOSPITAL_ADMISSION//unknown", 3),
        ("2010-03-01 23:59:59", "HOSPITAL_DISCHARGE//unknown", 3),
        ("2010-04-01 01:00:00", "EMERGENCY_VISIT//unknown", 4),
        ("2010-05-01 11:00:00", "OUTPATIENT_VISIT//unknown", 5),
        ("2010-06-01 11:00:00", "OUTPATIENT_VISIT//OFFICE VISIT", 6),
        ("2010-07-01 11:00:00", "Visit//LTCP", 7),
        ("2010-09-01 11:00:00", "ICU_ADMISSION//INPATIENT CARDIAC CARE FACILITY", 9),
        ("2010-09-02 11:00:00", "ICU_DISCHARGE//INPATIENT CARDIAC CARE FACILITY", 9),
    ]
    assert imported.summary.left_out["visit_occurrence_without_concept"] == 1
    assert imported.codes()["HOSPITAL_DISCHARGE//DIED"]["parent_codes"] == ["HOSPITAL_DISCHARGE"]
    assert "HOSPITAL_DISCHARGE" in imported.codes()


def test_ends_that_are_none(visit_events: Callable[..., Any]) -> None:
    found, imported = visit_events(
        [
            _visit(1, 9201, "2010-01-01 10:00:00"),
            _visit(2, 9201, "2010-02-01 10:00:00", "2099-12-31"),
            _visit(3, 9201, "2010-03-05 10:00:00", "2010-03-01 10:00:00"),
            # The hour of the start is unknown: no contradiction.
            _visit(4, 9201, "2010-04-01", "2010-04-01 09:00:00"),
            _visit(5, 9202, "2999-01-01 10:00:00", "2999-01-01 11:00:00"),
        ]
    )
    assert found == [
        ("2010-01-01 10:00:00", "HOSPITAL_ADMISSION//unknown", 1),
        ("2010-02-01 10:00:00", "HOSPITAL_ADMISSION//unknown", 2),
        ("2010-03-05 10:00:00", "HOSPITAL_ADMISSION//unknown", 3),
        ("2010-04-01 23:59:59", "HOSPITAL_ADMISSION//unknown", 4),
        ("2010-04-01 23:59:59", "HOSPITAL_DISCHARGE//unknown", 4),
    ]
    left_out = imported.summary.left_out
    assert left_out["visit_occurrence_end_in_the_future"] == 1
    assert left_out["visit_occurrence_end_before_its_start"] == 1
    assert left_out["visit_occurrence_in_the_future"] == 1


def test_rows_of_one_unit_that_touch_are_one_stay(visit_events: Callable[..., Any]) -> None:
    found, _ = visit_events(
        [_visit(1, 9201, "2010-01-01 08:00:00", "2010-01-20 08:00:00")],
        [
            _detail(1, 9201, "2010-01-01 08:00:00", "2010-01-02 08:00:00"),
            _detail(1, 581379, "2010-01-02 08:00:00", "2010-01-03 08:00:00"),
            _detail(1, 581379, "2010-01-03 08:00:00", "2010-01-05 08:00:00"),
            _detail(1, 581379, "2010-01-04 08:00:00", "2010-01-04 09:00:00"),
            _detail(1, 581379, "2010-01-09 08:00:00", "2010-01-10 08:00:00"),
            _detail("", 581379, "2010-02-09 08:00:00"),
        ],
    )
    units = [row for row in found if row[1].startswith("ICU")]
    assert units == [
        ("2010-01-02 08:00:00", "ICU_ADMISSION//unknown", 1),
        ("2010-01-05 08:00:00", "ICU_DISCHARGE//unknown", 1),
        ("2010-01-09 08:00:00", "ICU_ADMISSION//unknown", 1),
        ("2010-01-10 08:00:00", "ICU_DISCHARGE//unknown", 1),
        ("2010-02-09 08:00:00", "ICU_ADMISSION//unknown", None),
    ]
    # A ward's row keeps its concept's own code.
    assert ("2010-01-01 08:00:00", "Visit//IP", 1) in found


def test_descendants_of_a_kind_are_of_it(visit_events: Callable[..., Any], cdm: Tables) -> None:
    for number, name in ((9001, "Burn unit"), (9002, "Dialysis visit")):
        cdm["concept"].append(
            {"concept_id": number, "concept_name": name, "domain_id": "Visit", "concept_code": name,
             "vocabulary_id": "Visit", "concept_class_id": "Visit", "standard_concept": "S"}
        )  # fmt: skip
    lineage = [(9002, 9202), (9001, 581379), (9001, 9201)]
    found, _ = visit_events(
        [_visit(1, 9002, "2010-01-01 10:00:00"), _visit(2, 9001, "2010-02-01 10:00:00")],
        concept_ancestor=[
            {"ancestor_concept_id": above, "descendant_concept_id": below,
             "min_levels_of_separation": 1, "max_levels_of_separation": 1}
            for below, above in lineage
        ],
    )  # fmt: skip
    assert [row[1] for row in found] == ["OUTPATIENT_VISIT//DIALYSIS VISIT",
                                         "ICU_ADMISSION//BURN UNIT"]  # fmt: skip


def test_columns_of_cdm_5_3(visit_events: Callable[..., Any]) -> None:
    row = _visit(1, 9201, "2010-01-01 10:00:00", "2010-01-05 12:00:00")
    del row["admitted_from_concept_id"], row["discharged_to_concept_id"]
    row |= {"admitting_source_concept_id": 8863, "discharge_to_concept_id": 8536}
    found, _ = visit_events([{key.upper(): value for key, value in row.items()}])
    assert [row[1] for row in found] == ["HOSPITAL_ADMISSION//SKILLED NURSING FACILITY",
                                         "HOSPITAL_DISCHARGE//HOME"]  # fmt: skip

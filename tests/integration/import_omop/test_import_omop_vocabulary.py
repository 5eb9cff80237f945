"""Concepts as codes: standard ones, what others map to, ancestors, delays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tables = dict[str, list[dict[str, Any]]]
Write = Callable[[Path, Tables], Path]
Run = Callable[..., Any]


def _relationship(below: int, relationship: str, above: int, invalid: str = "") -> dict[str, Any]:
    return {"concept_id_1": below, "concept_id_2": above, "relationship_id": relationship,
            "valid_start_date": "1970-01-01", "valid_end_date": "2099-12-31",
            "invalid_reason": invalid}  # fmt: skip


def _ancestor(above: int, below: int, levels: int) -> dict[str, Any]:
    return {"ancestor_concept_id": above, "descendant_concept_id": below,
            "min_levels_of_separation": levels, "max_levels_of_separation": levels}  # fmt: skip


def _condition(concept: int, source: Any = 0, day: int = 1) -> dict[str, Any]:
    return {"person_id": 1, "condition_concept_id": concept, "condition_source_concept_id": source,
            "condition_start_date": f"2010-01-{day:02}"}  # fmt: skip


def _drug(concept: int) -> dict[str, Any]:
    return {"person_id": 1, "drug_concept_id": concept, "drug_exposure_start_date": "2010-01-01"}


def _clinical_codes(imported: Any) -> list[str]:
    return [row[1] for row in imported.events() if row[0] and row[1] != "MEDS_BIRTH"]


@pytest.fixture
def run(cdm: Tables, write_cdm: Write, run_import: Run, tmp_path: Path) -> Run:
    """`run(tables, **options)`: import the small CDM with these tables beside."""

    def import_tables(tables: Tables, **options: Any) -> Any:
        return run_import(write_cdm(tmp_path / "cdm", cdm | tables), **options)

    return import_tables


MAPS = [
    _relationship(104, "Maps to", 101),
    _relationship(101, "Maps to", 101),
    _relationship(105, "Maps to", 101),
    _relationship(105, "Maps to", 107),
    _relationship(105, "Maps to", 102, invalid="D"),
    _relationship(104, "Is a", 105),
]


def test_concepts_that_are_not_standard_become_what_they_map_to(run: Run) -> None:
    conditions = [
        _condition(101, day=1),
        _condition(104, day=2),
        _condition(105, day=3),
        _condition(106, day=4),
        _condition(9999, day=5),
    ]
    imported = run({"condition_occurrence": conditions, "concept_relationship": MAPS})
    assert _clinical_codes(imported) == [
        "SNOMED//195967001",
        "SNOMED//195967001",
        # Each of what it maps to, but for what is withdrawn.
        "SNOMED//195967001",
        "SNOMED//419076005",
        "Local//AST",
        "OMOP//9999",
    ]
    repairs = imported.summary.repairs
    assert repairs["condition_occurrence_mapped_to_standard"] == 2
    assert repairs["condition_occurrence_not_standard"] == 1
    assert repairs["condition_occurrence_concept_not_in_vocabulary"] == 1


def test_a_target_that_is_not_standard_or_unknown_is_none(run: Run) -> None:
    maps = [_relationship(106, "Maps to", 105), _relationship(106, "Maps to", 5555)]
    imported = run({"condition_occurrence": [_condition(106)], "concept_relationship": maps})
    assert _clinical_codes(imported) == ["Local//AST"]


def test_source_concepts_only_on_request(run: Run) -> None:
    tables = {
        "condition_occurrence": [
            _condition(101, source=104, day=1),
            _condition(101, source=0, day=2),
            _condition(101, source="", day=3),
            _condition(101, source=7777, day=4),
            _condition(0, source=104, day=5),
        ],
        "concept_relationship": MAPS,
    }
    standard = run(tables)
    assert _clinical_codes(standard) == ["SNOMED//195967001"] * 4
    assert standard.summary.left_out["condition_occurrence_without_concept"] == 1
    source = run(tables, source_concepts=True)
    assert _clinical_codes(source) == [
        "ICD10CM//J45.909",
        *["SNOMED//195967001"] * 3,
        "ICD10CM//J45.909",
    ]
    assert "condition_occurrence_without_concept" not in source.summary.left_out
    codes = source.codes()
    assert codes["ICD10CM//J45.909"]["parent_codes"] == ["ICD10CM//J45"]
    assert codes["ICD10CM//J45"]["parent_codes"] == []


ANCESTORS = [
    _ancestor(101, 101, 0),
    _ancestor(102, 101, 1),
    _ancestor(103, 101, 2),
    _ancestor(102, 102, 0),
    _ancestor(103, 102, 1),
    _ancestor(103, 103, 0),
]
UPWARDS = [
    _relationship(101, "Is a", 102),
    _relationship(103, "Subsumes", 102),
    # A circle in the source comes to an end.
    _relationship(103, "Is a", 102),
]


@pytest.mark.parametrize(
    "tables",
    [{"concept_ancestor": ANCESTORS}, {"concept_relationship": UPWARDS[:2]}],
    ids=["concept_ancestor", "concept_relationship"],
)
def test_ancestors_are_parents(tables: Tables, run: Run) -> None:
    imported = run({"condition_occurrence": [_condition(101)], **tables})
    codes = imported.codes()
    assert codes["SNOMED//195967001"]["parent_codes"] == ["SNOMED//19829001"]
    assert codes["SNOMED//19829001"]["parent_codes"] == ["SNOMED//404684003"]
    assert codes["SNOMED//404684003"]["parent_codes"] == []
    assert codes["SNOMED//404684003"]["description"] == "Clinical finding"
    assert "SNOMED//419076005" not in codes


def test_a_circle_of_parents_comes_to_an_end(run: Run) -> None:
    imported = run({"condition_occurrence": [_condition(101)], "concept_relationship": UPWARDS})
    assert "SNOMED//404684003" in imported.codes()


@pytest.mark.parametrize("with_ancestors", [True, False])
def test_drugs_climb_to_their_ingredient_and_to_atc(with_ancestors: bool, run: Run) -> None:
    chain = [(201, 202), (202, 203), (203, 204)]
    if with_ancestors:
        rows = [_ancestor(above, below, 1) for below, above in chain]
        rows += [_ancestor(203, 201, 2), _ancestor(204, 201, 3), _ancestor(204, 202, 2)]
        tables = {"concept_ancestor": rows}
    else:
        names = ["Consists of", "RxNorm has ing", "RxNorm - ATC"]
        pairs = zip(chain, names, strict=True)
        rows = [_relationship(below, name, above) for (below, above), name in pairs]
        tables = {"concept_relationship": rows}
    codes = run({"drug_exposure": [_drug(201)], **tables}).codes()
    assert codes["RxNorm//243670"]["parent_codes"] == ["RxNorm//1191"]
    assert codes["RxNorm//1191"]["parent_codes"] == ["ATC//B01AC06"]
    # Forms and strengths between the two are no step.
    assert "RxNorm//315431" not in codes


def test_conditions_and_billing_codes_are_known_72_hours_late(run: Run) -> None:
    visit = {"visit_occurrence_id": 1, "person_id": 1, "visit_concept_id": 9201,
             "visit_start_date": "2010-01-01"}  # fmt: skip
    imported = run(
        {
            "condition_occurrence": [_condition(101), _condition(7777)],
            "procedure_occurrence": [
                {"person_id": 1, "procedure_concept_id": 303, "procedure_date": "2010-01-01"}
            ],
            "drug_exposure": [_drug(201)],
            "observation": [
                {"person_id": 1, "observation_concept_id": 107, "observation_date": "2010-01-01"},
                {"person_id": 1, "observation_concept_id": 106, "observation_date": "2010-01-01"},
            ],
            "visit_occurrence": [visit],
        }
    )
    late = {code for code, row in imported.codes().items() if row["delay_hours"]}
    assert late == {"SNOMED//195967001", "OMOP//7777", "CPT4//99241"}
    assert {imported.codes()[code]["delay_hours"] for code in late} == {72.0}
    # The clinical time itself is not moved.
    assert {row[0] for row in imported.events() if row[1] in late} == {"2010-01-01 23:59:59"}


def test_without_a_table_of_concepts_the_numbers_are_codes(run: Run, cdm: Tables) -> None:
    del cdm["concept"]
    visit = {"visit_occurrence_id": 1, "person_id": 1, "visit_concept_id": 9201,
             "visit_start_date": "2010-01-01", "visit_end_date": "2010-01-03",
             "discharged_to_concept_id": 4216643}  # fmt: skip
    measurement = {"person_id": 1, "measurement_concept_id": 301, "measurement_date": "2010-01-02",
                   "value_as_number": 2, "unit_concept_id": 8840}  # fmt: skip
    imported = run(
        {
            "visit_occurrence": [visit],
            "measurement": [measurement],
            "condition_occurrence": [_condition(101, source=104, day=2)],
        },
        source_concepts=True,
    )
    assert _clinical_codes(imported) == [
        "HOSPITAL_ADMISSION//unknown",
        "OMOP//101",
        "OMOP//301//8840",
        "HOSPITAL_DISCHARGE//DIED",
    ]
    assert imported.summary.repairs["measurement_concept_not_in_vocabulary"] == 1
    codes = imported.codes()
    assert codes["OMOP//301//8840"]["parent_codes"] == ["OMOP//301"]
    assert codes["OMOP//101"]["delay_hours"] == 72.0


def test_without_marks_of_standard_all_concepts_count_as_standard(run: Run, cdm: Tables) -> None:
    for concept in cdm["concept"]:
        del concept["standard_concept"]
    imported = run({"condition_occurrence": [_condition(104)]})
    assert _clinical_codes(imported) == ["ICD10CM//J45.909"]
    assert "condition_occurrence_not_standard" not in imported.summary.repairs

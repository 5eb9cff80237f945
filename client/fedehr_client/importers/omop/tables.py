"""The CDM's tables and the columns read from them; names as in 5.4, with 5.3's as aliases."""

from fedehr_client.importers.engine.table import Column, SourceTable


def _id(name: str, *aliases: str, required: bool = False) -> Column:
    return Column(name, "integer", required=required, aliases=aliases)


_ANY_YEAR = 9998
"""Open stays and periods end in the year 2099 or 9999: no bad rows, but ends to ignore."""


def _moment(prefix: str) -> tuple[Column, Column]:
    """A date, which the CDM demands, and its time stamp, which it does not."""
    return (
        Column(f"{prefix}_date", "date", required=True),
        Column(f"{prefix}_datetime", "time"),
    )


PERSON = SourceTable(
    "person",
    (
        _id("person_id", required=True),
        _id("gender_concept_id"),
        _id("year_of_birth"),
        _id("month_of_birth"),
        _id("day_of_birth"),
        Column("birth_datetime", "time"),
    ),
)
DEATH = SourceTable("death", (_id("person_id", required=True), *_moment("death")))
OBSERVATION_PERIOD = SourceTable(
    "observation_period",
    (
        _id("person_id", required=True),
        Column("observation_period_end_date", "date", required=True),
    ),
    last_year=_ANY_YEAR,
)
VISIT_OCCURRENCE = SourceTable(
    "visit_occurrence",
    (
        _id("person_id", required=True),
        _id("visit_occurrence_id", required=True),
        _id("visit_concept_id", required=True),
        *_moment("visit_start"),
        Column("visit_end_date", "date"),
        Column("visit_end_datetime", "time"),
        _id("admitted_from_concept_id", "admitting_source_concept_id"),
        _id("discharged_to_concept_id", "discharge_to_concept_id"),
    ),
    last_year=_ANY_YEAR,
)
VISIT_DETAIL = SourceTable(
    "visit_detail",
    (
        _id("person_id", required=True),
        _id("visit_occurrence_id"),
        _id("visit_detail_concept_id", required=True),
        *_moment("visit_detail_start"),
        Column("visit_detail_end_date", "date"),
        Column("visit_detail_end_datetime", "time"),
    ),
    last_year=_ANY_YEAR,
)


def _clinical(name: str, entity: str, start: str, *further: Column) -> SourceTable:
    return SourceTable(
        name,
        (
            _id("person_id", required=True),
            _id("visit_occurrence_id"),
            _id(f"{entity}_concept_id", required=True),
            _id(f"{entity}_source_concept_id"),
            *_moment(start),
            *further,
        ),
    )


_VALUES = (Column("value_as_number", "number"), _id("value_as_concept_id"), _id("unit_concept_id"))

CONDITION_OCCURRENCE = _clinical("condition_occurrence", "condition", "condition_start")
DRUG_EXPOSURE = _clinical("drug_exposure", "drug", "drug_exposure_start")
PROCEDURE_OCCURRENCE = _clinical("procedure_occurrence", "procedure", "procedure")
DEVICE_EXPOSURE = _clinical("device_exposure", "device", "device_exposure_start")
MEASUREMENT = _clinical("measurement", "measurement", "measurement", *_VALUES)
OBSERVATION = _clinical("observation", "observation", "observation", *_VALUES)
SPECIMEN = _clinical("specimen", "specimen", "specimen")

CONCEPT = SourceTable(
    "concept",
    (
        _id("concept_id", required=True),
        Column("concept_name", "text"),
        Column("domain_id", "text"),
        Column("vocabulary_id", "text", required=True),
        Column("concept_class_id", "text"),
        Column("standard_concept", "text"),
        Column("concept_code", "text", required=True),
    ),
)
CONCEPT_RELATIONSHIP = SourceTable(
    "concept_relationship",
    (
        _id("concept_id_1", required=True),
        _id("concept_id_2", required=True),
        Column("relationship_id", "text", required=True),
        Column("invalid_reason", "text"),
    ),
)
CONCEPT_ANCESTOR = SourceTable(
    "concept_ancestor",
    (
        _id("ancestor_concept_id", required=True),
        _id("descendant_concept_id", required=True),
        _id("min_levels_of_separation", required=True),
    ),
)

"""The tables of a MEDS dataset, with the names that their columns had in older versions."""

from fedehr_client.importers.engine.table import Column, SourceTable

LAST_YEAR = 2261
"""De-identified records are often shifted into the next centuries; nanoseconds end in 2262."""

_SUBJECT = Column("subject_id", "integer", required=True, aliases=("patient_id",))

DATA = SourceTable(
    "data",
    (
        _SUBJECT,
        Column("time", "time", aliases=("datetime", "timestamp"), must_exist=True),
        Column("code", "text", required=True),
        Column("numeric_value", "number", aliases=("value",)),
        Column(
            "visit_id",
            "text",
            aliases=("hadm_id", "visit_occurrence_id", "encounter_id", "visit", "encounter"),
        ),
    ),
    last_year=LAST_YEAR,
)
SPLITS_TABLE = SourceTable("splits", (_SUBJECT, Column("split", "text", required=True)))


def labels_table(task: str) -> SourceTable:
    """One task's labels; booleans and classes are read as text."""
    columns = (
        _SUBJECT,
        Column("prediction_time", "time", required=True),
        Column("boolean_value", "text"),
        Column("categorical_value", "text"),
        Column("integer_value", "integer"),
        Column("float_value", "number"),
    )
    return SourceTable(f"labels_{task}", columns, last_year=LAST_YEAR)

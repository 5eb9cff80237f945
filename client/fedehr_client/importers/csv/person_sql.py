"""Birth, sex and death as SELECTs: one event a subject each."""

from fedehr_client.importers.csv.columns import ColumnBook
from fedehr_client.importers.csv.mapping import Mapping
from fedehr_client.importers.csv.person_section import BirthSection, DeathSection, SexSection
from fedehr_client.importers.csv.quoting import quote_text
from fedehr_client.importers.csv.row_scope import RowScope
from fedehr_client.importers.csv.time_sql import time_sql

_REST = """CAST(NULL AS DOUBLE) AS numeric_value, CAST(NULL AS BIGINT) AS visit_id,
    CAST(NULL AS VARCHAR) AS drop_reason"""
_AGE = r"^(?:>=?)? ?([0-9]{1,3})(?:\+|\.0)?$"
"""Completed years; `> 89` and `90+` are how de-identified tables write the oldest."""
MOST_YEARS = 130
"""999 stands for an unknown age."""


def birth_sql(section: BirthSection, mapping: Mapping, book: ColumnBook) -> str:
    """`MEDS_BIRTH`, the earliest of a subject's rows."""
    scope = RowScope(mapping, section, book)
    return f"""SELECT subject_id, min(time) AS time, 'MEDS_BIRTH' AS code, {_REST}
        FROM (SELECT {scope.subject()} AS subject_id, {_birth_time(section, scope)} AS time
            {scope.source()})
        WHERE subject_id IS NOT NULL AND time IS NOT NULL GROUP BY subject_id"""


def _birth_time(section: BirthSection, scope: RowScope) -> str:
    if section.date is not None:
        return time_sql(section.date, scope)
    text = scope.column(section.age or "", "text")
    digits = f"TRY_CAST(regexp_extract({text}, {quote_text(_AGE)}, 1) AS INTEGER)"
    age = f"(CASE WHEN {digits} <= {MOST_YEARS} THEN {digits} END)"
    if section.at is not None:
        return f"{time_sql(section.at, scope)} - to_years({age})"
    year = scope.column(section.year or "", "integer")
    return (
        f"CASE WHEN {year} BETWEEN 1000 AND 9000 "
        f"THEN CAST(make_date(CAST({year} AS INTEGER) - {age}, 1, 1) AS TIMESTAMP) END"
    )


def sex_sql(section: SexSection, mapping: Mapping, book: ColumnBook) -> str:
    """`SEX//F`, `SEX//M`, or `SEX//U` where it is not known or rows disagree."""
    scope = RowScope(mapping, section, book)
    text = scope.column(section.column, "text")
    known = " ".join(
        f"WHEN {quote_text(written)} THEN {quote_text(sex)}"
        for written, sex in section.values.items()
        if sex != "U"
    )
    sex = f"CASE {text} {known} END" if known else "CAST(NULL AS VARCHAR)"
    return f"""SELECT subject_id, CAST(NULL AS TIMESTAMP) AS time, 'SEX//' ||
            CASE WHEN min(sex) = max(sex) THEN min(sex) ELSE 'U' END AS code, {_REST}
        FROM (SELECT {scope.subject()} AS subject_id, {sex} AS sex {scope.source()})
        WHERE subject_id IS NOT NULL GROUP BY subject_id"""


def death_sql(sections: tuple[DeathSection, ...], mapping: Mapping, book: ColumnBook) -> str:
    """`MEDS_DEATH`: of the first section that knows the subject's, the earliest."""
    rows = []
    for rank, section in enumerate(sections):
        scope = RowScope(mapping, section, book)
        time = time_sql(section.time, scope)
        rows.append(
            f"SELECT {scope.subject()} AS subject_id, {time} AS time, {rank} AS rank "
            f"{scope.source()}"
        )
    return f"""SELECT subject_id, min({{'rank': rank, 'time': time}}).time AS time,
            'MEDS_DEATH' AS code, {_REST}
        FROM ({" UNION ALL ".join(rows)})
        WHERE subject_id IS NOT NULL AND time IS NOT NULL GROUP BY subject_id"""

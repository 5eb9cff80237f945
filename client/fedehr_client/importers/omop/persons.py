"""Who the records are about: birth, sex and death."""

import duckdb

from fedehr_client.importers.engine.row_source import path_literal
from fedehr_client.importers.engine.table import FIRST_YEAR
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.omop.moments import moment
from fedehr_shared.errors import DataError

# A birth without an hour is at the beginning of its day, without a day or month on the first
# of what is known: no event lies before birth for want of them.
_BIRTH = f"""
    CASE birth_datetime
        WHEN end_of_day(CAST(birth_datetime AS DATE))
            THEN local_to_utc(CAST(CAST(birth_datetime AS DATE) AS TIMESTAMP))
        -- The day's last second is on the next day in UTC, west of it.
        WHEN end_of_day(CAST(birth_datetime AS DATE) - 1)
            THEN local_to_utc(CAST(CAST(birth_datetime AS DATE) - 1 AS TIMESTAMP))
        ELSE coalesce(birth_datetime, CASE
            WHEN year_of_birth BETWEEN {FIRST_YEAR} AND year(today())
            THEN local_to_utc(CAST(coalesce(
                TRY(make_date(
                    year_of_birth, coalesce(month_of_birth, 1), coalesce(day_of_birth, 1))),
                TRY(make_date(year_of_birth, month_of_birth, 1)),
                make_date(year_of_birth, 1, 1)) AS TIMESTAMP)) END)
    END"""


def load_persons(workspace: Workspace) -> None:
    """Make the view `persons` (subject_id, birth, sex) of the view `person`.

    Raises:
        DataError: there is nobody, or a person_id occurs twice.
    """
    connection = workspace.connection
    # On disk: a table in memory would take from what the sort is given.
    file = path_literal(workspace.new_file("persons.parquet"))
    connection.execute(f"""
        COPY (SELECT person_id AS subject_id, {_BIRTH} AS birth,
            CASE gender_concept_id WHEN 8507 THEN 'M' WHEN 8532 THEN 'F' ELSE 'U' END AS sex
        FROM person) TO {file} (FORMAT parquet)""")
    connection.execute(f"CREATE VIEW persons AS FROM read_parquet({file})")
    num, num_distinct, num_unborn = _row(
        connection,
        "SELECT count(*), count(DISTINCT subject_id), count(*) FILTER (birth IS NULL) FROM persons",
    )
    if num == 0:
        raise DataError("table 'person' holds nobody. Check that it is the whole table.")
    if num > num_distinct:
        raise DataError(
            f"table 'person': {num - num_distinct} row(s) repeat a person_id. The CDM has one "
            "row a person; merge them first."
        )
    if num_unborn:
        workspace.left_out["person_without_a_birth_date"] += num_unborn


PERSON_EVENTS = """
    SELECT subject_id, birth AS time, 'MEDS_BIRTH' AS code, CAST(NULL AS DOUBLE) AS numeric_value,
        CAST(NULL AS BIGINT) AS visit_id
    FROM persons WHERE birth IS NOT NULL
    UNION ALL
    SELECT subject_id, NULL, 'SEX//' || sex, NULL, NULL FROM persons"""


def load_known_rows(workspace: Workspace, table: str) -> None:
    """Make the view `known_{table}`: its rows about somebody in `persons`; others are counted."""
    ((num_unknown,),) = workspace.connection.execute(
        f"SELECT count(*) FROM {table} ANTI JOIN persons ON subject_id = person_id"
    ).fetchall()
    # A join costs memory in each query that reads the view: only where it changes anything.
    known = "SEMI JOIN persons ON subject_id = person_id" if num_unknown else ""
    workspace.connection.execute(f"CREATE VIEW known_{table} AS FROM {table} {known}")
    if num_unknown:
        workspace.left_out[f"{table}_of_unknown_person"] += num_unknown


def death_events(workspace: Workspace) -> str:
    """MEDS_DEATH, once a person: the earliest of several rows."""
    num, num_people = _row(
        workspace.connection, "SELECT count(*), count(DISTINCT person_id) FROM known_death"
    )
    if num > num_people:
        workspace.left_out["death_told_again"] += num - num_people
    return f"""
        SELECT person_id AS subject_id, min({moment("d", "death")}) AS time, 'MEDS_DEATH' AS code,
            CAST(NULL AS DOUBLE) AS numeric_value, CAST(NULL AS BIGINT) AS visit_id
        FROM known_death d GROUP BY person_id"""


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row: tuple[int, ...] = connection.execute(query).fetchall()[0]
    return row

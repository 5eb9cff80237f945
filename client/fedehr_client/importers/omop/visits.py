"""Hospital stays, intensive care, emergency and outpatient visits as events."""

from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.omop.clock import now_literal
from fedehr_client.importers.omop.moments import moment
from fedehr_client.importers.omop.visit_kinds import EMERGENCY_ADMISSION

_PREFIXES = {"visit_occurrence": "visit", "visit_detail": "visit_detail"}


def load_begun_visits(workspace: Workspace) -> None:
    """Make views `begun_{table}` without visits in the future (appointments), which are counted.

    They add `start` and `stop`; a stop in the future (still there) or on a day before the
    start is none. Of a visit whose first day stands for an unknown hour, a stop within that
    day is not too early: it is moved to the start.
    """
    now = now_literal()
    for table, prefix in _PREFIXES.items():
        last_day = f"CAST(coalesce({prefix}_end_date, {prefix}_end_datetime) AS DATE)"
        workspace.connection.execute(f"""
            CREATE VIEW told_{table} AS
            SELECT *, {moment("v", f"{prefix}_start")} AS start,
                {moment("v", f"{prefix}_end")} AS told_stop,
                CASE WHEN told_stop > {now} THEN 'future'
                    WHEN {last_day} < {prefix}_start_date THEN 'reversed' END AS fault
            FROM known_{table} v""")
        workspace.connection.execute(f"""
            CREATE VIEW begun_{table} AS
            SELECT *, CASE WHEN fault IS NULL AND told_stop IS NOT NULL
                THEN greatest(start, told_stop) END AS stop
            FROM told_{table} WHERE start <= {now}""")
        _count(workspace, table, now)


def _count(workspace: Workspace, table: str, now: str) -> None:
    ((num_ahead, num_open, num_reversed),) = workspace.connection.execute(f"""
        SELECT count(*) FILTER (start > {now}),
            count(*) FILTER (start <= {now} AND fault = 'future'),
            count(*) FILTER (start <= {now} AND fault = 'reversed')
        FROM told_{table}""").fetchall()
    counts = {
        "in_the_future": num_ahead,
        "end_in_the_future": num_open,
        "end_before_its_start": num_reversed,
    }
    for reason, num in counts.items():
        if num:
            workspace.left_out[f"{table}_{reason}"] += num


def load_stretches(workspace: Workspace) -> None:
    """Make the view `stretches`: begun visits, and parts of them, of a known kind.

    What is settled there is taken out of `combinations`.
    """
    connection = workspace.connection
    connection.execute(f"""
        CREATE VIEW stretches AS
        SELECT v.person_id AS subject_id, v.visit_occurrence_id AS visit_id, k.kind, k.label,
            v.start, v.stop, v.visit_concept_id = {EMERGENCY_ADMISSION} AS by_emergency,
            v.admitted_from_concept_id AS from_id, v.discharged_to_concept_id AS to_id
        FROM begun_visit_occurrence v JOIN visit_kinds k ON k.concept_id = v.visit_concept_id
        UNION ALL
        SELECT v.person_id, nullif(v.visit_occurrence_id, 0), k.kind, k.label, v.start, v.stop,
            false, NULL, NULL
        FROM begun_visit_detail v JOIN visit_kinds k
            ON k.concept_id = v.visit_detail_concept_id AND k.kind <> 'hospital'""")
    connection.execute("""
        DELETE FROM combinations WHERE (origin, concept_id) IN (
            SELECT 'visit_occurrence', concept_id FROM visit_kinds UNION ALL
            SELECT 'visit_detail', concept_id FROM visit_kinds WHERE kind <> 'hospital')""")


# Rows of one unit that touch or overlap are one stay: beds change within a unit.
_UNIT_STAYS = """(
    SELECT subject_id, visit_id, label, min(start) AS start,
        if(bool_or(stop IS NULL), NULL, max(stop)) AS stop
    FROM (
        SELECT *, sum(CAST(apart AS INTEGER)) OVER (
            PARTITION BY subject_id, visit_id, label ORDER BY start, stop
            ROWS UNBOUNDED PRECEDING) AS stay
        FROM (
            SELECT *, coalesce(start > max(coalesce(stop, start)) OVER (
                PARTITION BY subject_id, visit_id, label ORDER BY start, stop
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), true) AS apart
            FROM stretches WHERE kind = 'intensive'))
    GROUP BY subject_id, visit_id, label, stay)"""


def visit_events() -> tuple[str, ...]:
    """SELECTs of the events of `stretches`."""
    kinds = """
        SELECT subject_id, {time} AS time, '{code}//' || label AS code,
            CAST(NULL AS DOUBLE) AS numeric_value, visit_id
        FROM {rows} rows WHERE {where}"""
    return (
        """
        SELECT s.subject_id, s.start AS time, 'HOSPITAL_ADMISSION//' || CASE
            WHEN s.by_emergency THEN 'EMERGENCY' ELSE coalesce(p.label, 'unknown') END AS code,
            CAST(NULL AS DOUBLE) AS numeric_value, s.visit_id
        FROM stretches s LEFT JOIN places p ON p.concept_id = s.from_id AND s.from_id <> 0
        WHERE s.kind = 'hospital'""",
        """
        SELECT s.subject_id, s.stop AS time,
            'HOSPITAL_DISCHARGE//' || coalesce(p.label, 'unknown') AS code,
            CAST(NULL AS DOUBLE) AS numeric_value, s.visit_id
        FROM stretches s LEFT JOIN places p ON p.concept_id = s.to_id AND s.to_id <> 0
        WHERE s.kind = 'hospital' AND s.stop IS NOT NULL""",
        kinds.format(time="start", code="ICU_ADMISSION", rows=_UNIT_STAYS, where="true"),
        kinds.format(time="stop", code="ICU_DISCHARGE", rows=_UNIT_STAYS, where="stop IS NOT NULL"),
        kinds.format(
            time="start", code="EMERGENCY_VISIT", rows="stretches", where="kind = 'emergency'"
        ),
        kinds.format(
            time="start", code="OUTPATIENT_VISIT", rows="stretches", where="kind = 'outpatient'"
        ),
    )

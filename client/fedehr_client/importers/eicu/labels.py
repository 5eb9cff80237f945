"""Cohort and tasks: both predicted 24 h after unit admission, for stays still in the unit.

Which of a person's stays is the index stay is decided by the timeline and by what is known
at prediction alone; only then is the outcome looked at.
"""

from dataclasses import dataclass
from typing import Any

import duckdb

PREDICTION_MINUTES = 24 * 60
LONG_STAY_MINUTES = 7 * 24 * 60


@dataclass(frozen=True)
class Task:
    """One outcome.

    Attributes:
        outcome: SQL over `patient`; true, false, or null when it is unknown.
        too_late: SQL over `patient`; true when the outcome is settled at prediction.
    """

    name: str
    description: str
    outcome: str
    too_late: str = "FALSE"


TASKS = (
    Task(
        "in_hospital_death",
        "The patient dies before leaving the hospital.",
        """CASE hospitaldischargestatus WHEN 'Expired' THEN TRUE WHEN 'Alive' THEN FALSE END""",
    ),
    Task(
        "long_stay",
        "The hospital stay lasts more than 7 days from hospital admission; a patient who dies "
        "earlier has not stayed longer, so the label is false.",
        f"""CASE WHEN hospitaldischargestatus IN ('Expired', 'Alive')
            THEN hospitaldischargeoffset - hospitaladmitoffset > {LONG_STAY_MINUTES} END""",
        f"{PREDICTION_MINUTES} - hospitaladmitoffset >= {LONG_STAY_MINUTES}",
    ),
)
EXCLUSIONS = (
    "place_on_timeline_unknown",
    "left_unit_before_24h",
    "past_7_days_at_prediction",
    "not_first_eligible_stay",
    "discharge_status_unknown",
    "left_hospital_before_prediction",
)
"""Applied in this order; a stay counts under the first that holds."""


def add_labels(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    """Make table `labels` (task, site, subject_id, prediction_time, boolean_value).

    Returns:
        By task, what `federation.json` records of it.
    """
    connection.execute(
        """CREATE TABLE labels (task VARCHAR, site VARCHAR, subject_id BIGINT,
            prediction_time TIMESTAMP, boolean_value BOOLEAN)"""
    )
    return {task.name: _add_task(connection, task) for task in TASKS}


def _add_task(connection: duckdb.DuckDBPyConnection, task: Task) -> dict[str, Any]:
    connection.execute(_CANDIDATES.format(outcome=task.outcome, too_late=task.too_late))
    connection.execute(
        f"""INSERT INTO labels SELECT '{task.name}', site, subject_id, prediction_time, outcome
        FROM candidates WHERE exclusion IS NULL"""
    )
    excluded = dict(
        connection.execute(
            "SELECT exclusion, count(*) FROM candidates WHERE exclusion IS NOT NULL GROUP BY 1"
        ).fetchall()
    )
    num, positives, in_unit, in_unit_positive, total = connection.execute(
        """SELECT count(*) FILTER (WHERE exclusion IS NULL),
            count(*) FILTER (WHERE exclusion IS NULL AND outcome),
            count(*) FILTER (WHERE in_unit), count(*) FILTER (WHERE in_unit AND outcome), count(*)
        FROM candidates"""
    ).fetchall()[0]
    connection.execute("DROP TABLE candidates")
    return {
        "description": task.description,
        "index_event": "unit admission; one index stay a subject, the first eligible one",
        "prediction_minutes_after_index": PREDICTION_MINUTES,
        "num_stays": total,
        "stays_in_unit_at_prediction": {"num": in_unit, "num_positive": in_unit_positive},
        "exclusions": {reason: excluded.get(reason, 0) for reason in EXCLUSIONS},
        "num": num,
        "num_positive": positives,
    }


_CANDIDATES = f"""
CREATE TABLE candidates AS
WITH judged AS (
    SELECT coalesce(s.site, t.site) AS site, s.subject_id, stay_order,
        s.unit_time + to_minutes({PREDICTION_MINUTES}) AS prediction_time,
        s.stay_id IS NOT NULL AS placed,
        unitdischargeoffset > {PREDICTION_MINUTES} AS in_unit,
        hospitaldischargeoffset > {PREDICTION_MINUTES} AS in_hospital,
        {{too_late}} AS too_late, {{outcome}} AS outcome
    FROM patient p JOIN sites t USING (hospitalid) LEFT JOIN stays s ON stay_id = patientunitstayid
), ordered AS (
    SELECT *, placed AND in_unit AND NOT too_late AS eligible, row_number() OVER (
        PARTITION BY subject_id, placed AND in_unit AND NOT too_late ORDER BY stay_order
    ) AS eligible_order FROM judged
)
SELECT site, subject_id, prediction_time, in_unit, outcome, CASE
    WHEN NOT placed THEN '{EXCLUSIONS[0]}'
    WHEN NOT in_unit THEN '{EXCLUSIONS[1]}'
    WHEN too_late THEN '{EXCLUSIONS[2]}'
    WHEN eligible_order > 1 THEN '{EXCLUSIONS[3]}'
    WHEN outcome IS NULL THEN '{EXCLUSIONS[4]}'
    WHEN NOT in_hospital THEN '{EXCLUSIONS[5]}'
    END AS exclusion
FROM ordered"""

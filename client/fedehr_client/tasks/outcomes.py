"""Outcomes of the chosen index events: what happens after the prediction, in clinical time."""

from datetime import datetime

import duckdb

from fedehr_client.tasks.definition import TaskDefinition
from fedehr_client.tasks.index_events import microseconds

NO_LABEL = ("end_of_stay_unknown", "not_observed", "competing_event")
"""Why a chosen index event has no label, in this order."""
_COMPETING = {"false": "false", "exclude": "competing_event", "censor": "competed"}


def add_outcomes(
    connection: duckdb.DuckDBPyConnection, task: TaskDefinition, dataset_end: datetime | None
) -> None:
    """Make table `outcomes` from `judged` and `marked`: one row a chosen index event.

    Columns: subject_id, prediction_time, label (null where there is none), hours (from the
    prediction to the outcome or, without one, to the end of what is known), no_label (why).

    The first outcome and the first competing event within (prediction, window's end] decide;
    of two at one time the outcome counts.
    """
    outcome = task.outcome
    ends = {
        "horizon": "prediction_time + to_microseconds($span)",
        "stay": "stay_ends + to_microseconds($span)",
        "length": "stay_begins + to_microseconds($span)",
    }[_kind_of(task)]
    span = outcome.horizon_hours or outcome.longer_than_hours or outcome.grace_hours
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE windows AS
        SELECT *, {ends} AS window_ends FROM judged WHERE exclusion IS NULL""",
        {"span": microseconds(span)},
    )
    happened = (
        "CASE WHEN stay_ends > window_ends THEN window_ends END"
        if outcome.stay
        else "min(time) FILTER (is_outcome)"
    )
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE happened AS
        SELECT w.*, {happened} AS outcome_time, min(time) FILTER (is_competing) AS competing_time
        FROM windows w LEFT JOIN marked m ON m.subject_id = w.subject_id
            AND (is_outcome OR is_competing)
            AND m.time > prediction_time AND m.time <= window_ends
        GROUP BY ALL"""
    )
    _add_observed(connection, task, dataset_end)
    _decide(connection, task)


def _kind_of(task: TaskDefinition) -> str:
    if task.outcome.horizon_hours is not None:
        return "horizon"
    return "length" if task.outcome.stay else "stay"


def _add_observed(
    connection: duckdb.DuckDBPyConnection, task: TaskDefinition, dataset_end: datetime | None
) -> None:
    """Table `observed`: until when each chosen subject is observed; null: to no known time."""
    queries = {
        "none": "SELECT subject_id, TIMESTAMP 'infinity' AS until FROM windows",
        "dataset_end": "SELECT subject_id, CAST($end AS TIMESTAMP) AS until FROM windows",
        "last_event": """SELECT subject_id, max(time) AS until
            FROM windows JOIN events USING (subject_id) GROUP BY subject_id""",
        "codes": """SELECT w.subject_id, min(time) AS until
            FROM windows w JOIN marked m ON m.subject_id = w.subject_id AND is_observed
                AND m.time >= prediction_time GROUP BY w.subject_id""",
    }
    until = task.censoring.until
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE observed AS {queries[until]}",
        {"end": dataset_end} if until == "dataset_end" else {},
    )


def _decide(connection: duckdb.DuckDBPyConnection, task: TaskDefinition) -> None:
    grace = task.outcome.grace_hours
    competing = _COMPETING["false" if task.competing is None else task.competing.label]
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE outcomes AS
        WITH decided AS (
            SELECT subject_id, prediction_time, CASE
                WHEN window_ends IS NULL OR ({bool(task.outcome.stay)} AND stay_ends IS NULL)
                    THEN 'end_of_stay_unknown'
                WHEN outcome_time <= coalesce(competing_time, outcome_time) THEN 'true'
                WHEN competing_time IS NOT NULL
                    THEN '{competing}'
                WHEN until >= window_ends - to_microseconds($grace) THEN 'false'
                WHEN {task.kind == "time_to_event"} AND until > prediction_time THEN 'censored'
                ELSE 'not_observed' END AS verdict,
                outcome_time, competing_time, window_ends, until
            FROM happened LEFT JOIN observed USING (subject_id)
        )
        SELECT subject_id, prediction_time,
            CASE verdict WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE
                WHEN 'competed' THEN FALSE WHEN 'censored' THEN FALSE END AS label,
            (epoch_us(CASE verdict WHEN 'true' THEN outcome_time WHEN 'false' THEN window_ends
                WHEN 'competed' THEN competing_time WHEN 'censored' THEN until END)
                - epoch_us(prediction_time)) / 3.6e9 AS hours,
            CASE WHEN verdict IN {NO_LABEL} THEN verdict END AS no_label
        FROM decided""",
        {"grace": microseconds(grace)},
    )

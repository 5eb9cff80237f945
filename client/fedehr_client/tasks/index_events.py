"""Index events: each becomes a prediction, or is left out for a reason known by then."""

import duckdb

from fedehr_client.tasks.definition import HistoryConfig, Stay, TaskDefinition
from fedehr_client.tasks.site_query import MICROSECONDS_PER_HOUR

EXCLUSIONS = (
    "end_of_visit_unknown",
    "died_before_prediction",
    "left_before_prediction",
    "settled_at_prediction",
    "excluded_code",
    "age",
    "short_history",
    "not_chosen",
)
"""Counted in this order: an index event counts under the first that holds."""


def microseconds(hours: float) -> int:
    """Hours as whole microseconds, the unit of times."""
    return round(hours * MICROSECONDS_PER_HOUR)


def add_index_events(connection: duckdb.DuckDBPyConnection, task: TaskDefinition) -> None:
    """Make table `judged` from `marked` and the stays: one row an index event.

    Columns: subject_id, index_time, prediction_time, stay_begins and stay_ends (of the stay
    that the outcome is about), exclusion (null for the one that was chosen of a subject).
    """
    within, stay = task.index.within, outcome_stay(task)
    connection.execute(
        _PLACED.format(
            within=within,
            stay=stay,
            inside_within=_INSIDE.format(alias="w", stay=within),
            inside_stay=_INSIDE.format(alias="s", stay=stay),
            inside_hospital=_INSIDE.format(alias="h", stay="hospital_stay"),
        )
    )
    at = "hospital_ends" if task.index.at == "end_of_visit" else "index_time + to_microseconds(?)"
    parameters = [] if task.index.at == "end_of_visit" else [microseconds(task.index.gap_hours)]
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE predicted AS
        SELECT *, {at} AS prediction_time FROM placed""",
        parameters,
    )
    connection.execute(_FACTS)
    _add_history(connection, task.history)
    _judge(connection, task)


def outcome_stay(task: TaskDefinition) -> Stay:
    """The stay that a task's outcome is about."""
    return task.outcome.stay or task.outcome.until_end_of or task.index.within


def _add_history(connection: duckdb.DuckDBPyConnection, history: HistoryConfig) -> None:
    """Table `history`, only filled where the task asks: reading all events takes a while."""
    asked = bool(history.min_hours or history.min_events)
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE history AS
        SELECT p.subject_id, p.index_time, p.visit_id,
            count(*) FILTER (known <= prediction_time) AS num_known, min(known) AS first_known
        FROM predicted p JOIN events e USING (subject_id)
        WHERE {asked} AND e.code NOT IN (SELECT code FROM roles WHERE is_birth)
        GROUP BY ALL"""
    )


def _judge(connection: duckdb.DuckDBPyConnection, task: TaskDefinition) -> None:
    exclude, history = task.exclude, task.history
    # What has ended or been settled by the prediction is no prediction.
    is_inside = task.index.at == "index"
    longer = task.outcome.longer_than_hours
    bounds_age = exclude.min_age_years > 0 or exclude.max_age_years < 200
    order = {
        "first": "index_time, visit_id",
        "last": "index_time DESC, visit_id DESC",
        "random": "md5(concat_ws('/', $name, subject_id, epoch_us(index_time))), visit_id",
    }[task.index.choose]
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE judged AS
        WITH reasons AS (
            SELECT p.*, CASE
                WHEN prediction_time IS NULL THEN 'end_of_visit_unknown'
                WHEN death_time <= prediction_time THEN 'died_before_prediction'
                WHEN {is_inside} AND least(within_ends, stay_ends, hospital_ends)
                    <= prediction_time
                    THEN 'left_before_prediction'
                WHEN prediction_time >= stay_begins + to_microseconds(CAST($longer AS BIGINT))
                    THEN 'settled_at_prediction'
                WHEN first_excluded <= prediction_time THEN 'excluded_code'
                WHEN {bounds_age} AND NOT coalesce({_AGE} BETWEEN $youngest AND $oldest, FALSE)
                    THEN 'age'
                WHEN $min_events > coalesce(num_known, 0) THEN 'short_history'
                WHEN $min_history > 0 AND NOT coalesce(
                    first_known + to_microseconds($min_history) <= prediction_time, FALSE)
                    THEN 'short_history'
                END AS reason
            FROM predicted p LEFT JOIN facts USING (subject_id)
            LEFT JOIN history h ON h.subject_id = p.subject_id AND h.index_time = p.index_time
                AND h.visit_id IS NOT DISTINCT FROM p.visit_id
        ), ranked AS (
            SELECT *, row_number() OVER (
                PARTITION BY subject_id, reason IS NULL ORDER BY {order}) AS place FROM reasons
        )
        SELECT subject_id, index_time, prediction_time, stay_begins, stay_ends,
            CASE WHEN reason IS NULL AND place > 1 THEN 'not_chosen' ELSE reason END AS exclusion
        FROM ranked""",
        {
            **({"name": task.name} if task.index.choose == "random" else {}),
            "longer": None if longer is None else microseconds(longer),
            "youngest": exclude.min_age_years,
            "oldest": exclude.max_age_years,
            "min_events": history.min_events,
            "min_history": microseconds(history.min_hours),
        },
    )


_AGE = "epoch_us(prediction_time) / 3.6e9 / 8766 - epoch_us(birth_time) / 3.6e9 / 8766"
"""Years of 365.25 days."""

# An index event at or after the end of a stay is not inside it, as a discharge is not, be it at
# the time of the admission, as in a day case known by its date alone. A visit
# is one hospital stay, whatever came first in it; other stays must have begun.
_INSIDE = """{alias}.subject_id = i.subject_id
    AND {alias}.visit_id IS NOT DISTINCT FROM i.visit_id
    AND ({alias}.begins <= i.index_time
        OR ({alias}.visit_id IS NOT NULL AND '{stay}' = 'hospital_stay'))
    AND ({alias}.ends IS NULL OR {alias}.ends > i.index_time
        OR ({alias}.begins = i.index_time AND NOT i.is_end))"""

_PLACED = """
CREATE OR REPLACE TEMP TABLE placed AS
WITH index_events AS (
    SELECT subject_id, time AS index_time, visit_id,
        bool_and(hospital_stay_ends OR icu_stay_ends) AS is_end
    FROM marked WHERE is_index GROUP BY ALL
)
SELECT i.subject_id, i.index_time, i.visit_id, max(w.ends) AS within_ends,
    max(s.begins) AS stay_begins, max(s.ends) AS stay_ends, max(h.ends) AS hospital_ends
FROM index_events i
LEFT JOIN {within} w ON {inside_within}
LEFT JOIN {stay} s ON {inside_stay}
LEFT JOIN hospital_stay h ON {inside_hospital}
GROUP BY ALL"""

_FACTS = """
CREATE OR REPLACE TEMP TABLE facts AS
SELECT subject_id, min(time) FILTER (is_birth) AS birth_time,
    min(time) FILTER (is_death) AS death_time, min(time) FILTER (is_excluded) AS first_excluded
FROM marked GROUP BY subject_id"""

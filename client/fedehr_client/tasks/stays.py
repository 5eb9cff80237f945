"""Stays: where each begins and ends, from the admission and discharge events.

Of a visit (one `visit_id`) the hospital stay runs from its first admission to its last
discharge. ICU stays, and hospital stays where records have no visits, follow one another: each
ends with the first discharge after its admission and not after the next one; only where there
is none, with one at the very time of its admission. A stay without a discharge has no known end.
"""

from typing import get_args

import duckdb

from fedehr_client.tasks.definition import Stay


def add_stays(connection: duckdb.DuckDBPyConnection) -> None:
    """Make tables `hospital_stay` and `icu_stay` from `marked`.

    Columns: subject_id, visit_id, begins, ends (null where unknown).
    """
    for stay in get_args(Stay):
        connection.execute(_ONE_AFTER_ANOTHER.format(stay=stay))
    connection.execute(_ONE_A_VISIT)


_ONE_AFTER_ANOTHER = """
CREATE OR REPLACE TEMP TABLE {stay} AS
WITH begun AS (
    SELECT *, lead(begins) OVER (PARTITION BY subject_id, visit_id ORDER BY begins) AS next_begins
    FROM (SELECT DISTINCT subject_id, visit_id, time AS begins FROM marked WHERE {stay}_begins)
)
SELECT begun.subject_id, begun.visit_id, begins, coalesce(
    min(marked.time) FILTER (marked.time > begins), min(marked.time)) AS ends
FROM begun LEFT JOIN marked ON {stay}_ends AND marked.subject_id = begun.subject_id
    AND marked.visit_id IS NOT DISTINCT FROM begun.visit_id AND marked.time >= begins
    AND (next_begins IS NULL OR marked.time <= next_begins)
GROUP BY begun.subject_id, begun.visit_id, begins"""

_ONE_A_VISIT = """
CREATE OR REPLACE TEMP TABLE hospital_stay AS
SELECT * FROM hospital_stay WHERE visit_id IS NULL
UNION ALL
SELECT subject_id, visit_id, min(time) FILTER (hospital_stay_begins),
    max(time) FILTER (hospital_stay_ends)
FROM marked WHERE visit_id IS NOT NULL AND (hospital_stay_begins OR hospital_stay_ends)
GROUP BY subject_id, visit_id"""

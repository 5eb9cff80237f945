"""Until when the source would have seen a person: the ends of observation periods."""

from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.omop.clock import now_literal

PERIOD_END = "OBSERVATION_PERIOD_END"


def period_events(workspace: Workspace) -> str:
    """An event at the end of each period; one in the future is none."""
    now = now_literal()
    ((num_future,),) = workspace.connection.execute(
        f"SELECT count(*) FROM known_observation_period o WHERE {_END} > {now}"
    ).fetchall()
    if num_future:
        workspace.left_out["observation_period_end_in_the_future"] += num_future
    return f"""
        SELECT o.person_id AS subject_id, {_END} AS time, '{PERIOD_END}' AS code,
            CAST(NULL AS DOUBLE) AS numeric_value, CAST(NULL AS BIGINT) AS visit_id
        FROM known_observation_period o WHERE {_END} <= {now}"""


_END = "end_of_day(o.observation_period_end_date)"

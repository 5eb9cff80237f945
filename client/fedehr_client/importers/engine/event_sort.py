"""The plan's events in their final order, streamed out of DuckDB's external sort."""

from collections.abc import Iterator

import pyarrow as pa

from fedehr_client.importers.engine.database_errors import database_errors, streamed_error
from fedehr_client.importers.engine.row_source import path_literal
from fedehr_client.importers.engine.source import RecordsPlan
from fedehr_client.importers.engine.workspace import Workspace

CHUNK_EVENTS = 65_536


def sorted_events(workspace: Workspace, plan: RecordsPlan) -> Iterator[pa.Table]:
    """Yield events by subject, time, code, value and visit; static ones (null time) first.

    Events without a subject come before all others. The order is total but for exact
    duplicates, so it does not depend on threads.

    Raises:
        DataError: memory or disk ran out, or a query of the plan failed.
    """
    with database_errors(workspace.settings):
        rows = _set_aside(workspace, plan) if len(plan.events) > 1 else _checked(plan.events[0])
        reader = workspace.connection.sql(_query(rows)).to_arrow_reader(CHUNK_EVENTS)
    for batch in read_stream(reader, workspace):
        yield pa.Table.from_batches([batch])


def read_stream(reader: pa.RecordBatchReader, workspace: Workspace) -> Iterator[pa.RecordBatch]:
    """The batches of a query's stream.

    Raises:
        DataError: memory or disk ran out, or the query failed.
    """
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (OSError, pa.ArrowException) as error:
            raise streamed_error(workspace.settings, str(error)) from None
        yield batch


def _set_aside(workspace: Workspace, plan: RecordsPlan) -> str:
    """Write each SELECT's events to disk; returns SQL of them all.

    A sort fed by several SELECTs takes memory for each of them, and more than it was given
    where a small one comes before a large one (DuckDB 2.0).
    """
    files = []
    for events in plan.events:
        file = path_literal(workspace.new_file("events.parquet"))
        workspace.connection.execute(
            f"COPY ({_checked(events)}) TO {file} (FORMAT parquet, COMPRESSION lz4)"
        )
        files.append(file)
    return f"SELECT * FROM read_parquet([{', '.join(files)}])"


def _checked(events: str) -> str:
    return _SELECT.format(events=events)


def _query(rows: str) -> str:
    # Numbers that are none sort beside null, which they become: duplicates then meet.
    return f"""SELECT * FROM ({rows}) ORDER BY subject_id NULLS FIRST, time NULLS FIRST,
        code NULLS FIRST, numeric_value NULLS LAST, visit_id NULLS FIRST"""


# Minus zero equals zero, so its place among duplicates would be left to chance.
_SELECT = """
SELECT subject_id, time, code, CASE WHEN wide IS NULL THEN NULL WHEN wide = 0 THEN 0::FLOAT
    WHEN abs(wide) <= 3.4028234663852886e38 THEN CAST(wide AS FLOAT) ELSE 'nan'::FLOAT END
    AS numeric_value, visit_id
FROM (SELECT CAST(subject_id AS BIGINT) AS subject_id, CAST(time AS TIMESTAMP) AS time,
    CAST(code AS VARCHAR) AS code, CAST(numeric_value AS DOUBLE) AS wide,
    CAST(visit_id AS BIGINT) AS visit_id FROM ({events}))"""

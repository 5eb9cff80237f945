"""`make_labels`: a task's labels for one site, with a count of everything left out."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from fedehr_client.tasks.definition import TaskDefinition
from fedehr_client.tasks.index_events import EXCLUSIONS, add_index_events
from fedehr_client.tasks.outcomes import NO_LABEL, add_outcomes
from fedehr_client.tasks.roles import add_marked_events, find_roles
from fedehr_client.tasks.site_query import QueryLimits, open_site
from fedehr_client.tasks.stays import add_stays
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import LABELS_SCHEMA, TIME_LABELS_SCHEMA


@dataclass(frozen=True)
class LabelTable:
    """A task's labels at one site; for the hospital's own eyes.

    Attributes:
        task: its name.
        site: the site's name.
        labels: columns of `LABELS_SCHEMA` or `TIME_LABELS_SCHEMA`, by subject.
        num_index_events: all of them.
        left_out: index events that became no label, by reason, every reason named.
    """

    task: str
    site: str
    labels: pa.Table
    num_index_events: int
    left_out: dict[str, int]

    @property
    def num(self) -> int:
        """The number of labels, one a subject."""
        return int(self.labels.num_rows)

    @property
    def num_positive(self) -> int:
        """How many have the outcome."""
        return sum(self.labels.column("boolean_value").to_pylist())

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "task": self.task,
            "site": self.site,
            "num_index_events": self.num_index_events,
            "left_out": self.left_out,
            "num": self.num,
            "num_positive": self.num_positive,
        }


def make_labels(site: SiteFolder, task: TaskDefinition, limits: QueryLimits) -> LabelTable:
    """Label a site's records.

    Raises:
        DataError: no code of the site is an index event, the task needs an end of the dataset
            that the records do not have, or a file is damaged.
    """
    with open_site(site, limits) as (connection, codes):
        dataset_end = None
        if task.censoring.until == "dataset_end":
            dataset_end = _dataset_end(site, connection, task.name)
        add_marked_events(connection, codes, find_roles(task, codes))
        add_stays(connection)
        add_index_events(connection, task)
        add_outcomes(connection, task, dataset_end)
        schema = TIME_LABELS_SCHEMA if task.kind == "time_to_event" else LABELS_SCHEMA
        labels = connection.sql(
            """SELECT subject_id, prediction_time, label AS boolean_value, hours AS float_value
            FROM outcomes WHERE label IS NOT NULL ORDER BY subject_id"""
        ).to_arrow_table()
        num, left_out = _count(connection)
    return LabelTable(task.name, site.name, labels.select(schema.names).cast(schema), num, left_out)


def _count(connection: duckdb.DuckDBPyConnection) -> tuple[int, dict[str, int]]:
    num = connection.execute("SELECT count(*) FROM judged").fetchall()[0][0]
    found = dict(
        connection.execute(
            """SELECT exclusion, count(*) FROM judged WHERE exclusion IS NOT NULL GROUP BY 1
            UNION ALL
            SELECT no_label, count(*) FROM outcomes WHERE no_label IS NOT NULL GROUP BY 1"""
        ).fetchall()
    )
    return num, {reason: found.get(reason, 0) for reason in (*EXCLUSIONS, *NO_LABEL)}


def _dataset_end(
    site: SiteFolder, connection: duckdb.DuckDBPyConnection, task: str
) -> datetime | None:
    """What the import said; records that say nothing end with their last event."""
    file = site.import_file
    if not file.is_file():
        end: datetime | None = connection.execute("SELECT max(time) FROM events").fetchall()[0][0]
        return end
    try:
        told = json.loads(file.read_text(encoding="utf-8"))["end_time"]
        if told is not None:
            return datetime.fromisoformat(told).replace(tzinfo=None)
    except (OSError, ValueError, TypeError, KeyError):
        raise DataError(f"{file} is damaged. Import the records again.") from None
    raise DataError(
        f"task '{task}' asks who is observed until the records' end, and {file} says that they "
        "have none (fictional dates). Leave the task out here, or change its [censoring]."
    )

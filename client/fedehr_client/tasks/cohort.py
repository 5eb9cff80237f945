"""A study's cohort: which labels it uses, judged by what is known at the prediction time."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa

from fedehr_client.tasks.index_events import microseconds
from fedehr_client.tasks.roles import BIRTH
from fedehr_client.tasks.site_query import QueryLimits, add_table, open_site
from fedehr_shared.config.code_pattern import matching
from fedehr_shared.config.cohort import CohortConfig
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.errors import MissingTaskError
from fedehr_shared.meds.code_table import CodeTable
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import Labels, read_labels


def read_cohort_labels(
    site: SiteFolder, tasks: Mapping[str, TaskConfig], cohort: CohortConfig
) -> dict[str, Labels]:
    """Labels of the examples that belong to the cohort, by task, of those tasks that the site
    has. Everything that learns from labels, scores or counts them reads them here.

    Raises:
        MissingTaskError: the site has labels for none of the tasks.
        DataError: a file is damaged, or holds labels of another kind.
    """
    held = held_tasks(site, tasks)
    labels = {task: read_labels(site, task, tasks[task]) for task in held}
    if cohort.is_everyone:
        return labels
    belongs = _find_members(site, labels, cohort)
    return {task: _filter(own, belongs) for task, own in labels.items()}


def held_tasks(site: SiteFolder, tasks: Iterable[str]) -> list[str]:
    """Of some tasks those that the site has labels for.

    Raises:
        MissingTaskError: it has labels for none of them.
    """
    asked, held = list(tasks), set(site.tasks)
    if not held.intersection(asked):
        raise MissingTaskError(
            f"the site has labels for none of the tasks {asked}; it has {site.tasks or 'none'}. "
            "Change [finetuning] tasks in the study, or add labels."
        )
    return [task for task in asked if task in held]


Example = tuple[int, int]
"""Subject and prediction time."""


def _filter(labels: Labels, belongs: set[Example]) -> Labels:
    pairs = zip(labels.subject_ids.tolist(), labels.prediction_times.tolist(), strict=True)
    keep = np.asarray([pair in belongs for pair in pairs], dtype=bool)
    return Labels(labels.subject_ids[keep], labels.prediction_times[keep], labels.values[keep])


def _find_members(
    site: SiteFolder, labels: Mapping[str, Labels], cohort: CohortConfig
) -> set[Example]:
    columns = {
        "subject_id": np.concatenate([own.subject_ids for own in labels.values()]),
        "prediction_us": np.concatenate([own.prediction_times for own in labels.values()]),
    }
    first, last = _span(cohort)
    with open_site(site, QueryLimits()) as (connection, codes):
        add_table(connection, "given", pa.table(columns))
        add_table(connection, "cohort_codes", _cohort_codes(codes, cohort))
        rows = connection.execute(
            _MEMBERS,
            {
                "first": first,
                "last": last,
                "bounds_age": cohort.bounds_age,
                "youngest": cohort.min_age_years,
                "oldest": cohort.max_age_years,
                "min_history": microseconds(cohort.min_history_hours),
                "any_setting": not cohort.setting,
            },
        ).fetchall()
    return set(rows)


def _cohort_codes(codes: CodeTable, cohort: CohortConfig) -> pa.Table:
    columns = {
        "code": pa.array(codes.codes, pa.string()),
        "is_birth": pa.array(matching(codes.codes, BIRTH)),
        "is_setting": pa.array(matching(codes.codes, cohort.setting)),
    }
    return pa.table(columns)


def _span(cohort: CohortConfig) -> tuple[int, int]:
    """The first microsecond of the first day, and the last of the last day."""
    limits = np.iinfo(np.int64)
    first, last = int(limits.min), int(limits.max)
    if cohort.start_date:
        first = _microseconds_since_1970(date.fromisoformat(cohort.start_date))
    if cohort.end_date:
        last = _microseconds_since_1970(date.fromisoformat(cohort.end_date)) + _DAY_US - 1
    return first, last


_DAY_US = 24 * 3_600 * 1_000_000


def _microseconds_since_1970(day: date) -> int:
    since = datetime(day.year, day.month, day.day, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1)


# The visit at the prediction is that of the latest known event that has one. Where events have
# none, the setting may be known anywhere outside visits.
_MEMBERS = """
WITH examples AS (
    SELECT DISTINCT subject_id, prediction_us FROM given
    WHERE prediction_us BETWEEN $first AND $last
), known_before AS (
    SELECT subject_id, prediction_us, epoch_us(time) AS time_us, epoch_us(known) AS known_us,
        visit_id, is_birth, is_setting
    FROM examples JOIN events USING (subject_id) JOIN cohort_codes USING (code)
    WHERE epoch_us(known) <= prediction_us
), facts AS (
    SELECT subject_id, prediction_us,
        min(time_us) FILTER (is_birth) AS birth_us,
        min(known_us) FILTER (NOT is_birth) AS first_us,
        max({'at': known_us, 'visit': visit_id}) FILTER (visit_id IS NOT NULL) AS latest,
        list(DISTINCT coalesce(visit_id, -1)) FILTER (is_setting) AS setting_visits
    FROM known_before GROUP BY subject_id, prediction_us
)
SELECT subject_id, prediction_us FROM examples LEFT JOIN facts USING (subject_id, prediction_us)
WHERE (NOT $bounds_age OR coalesce(
        (prediction_us - birth_us) / 3.6e9 / 8766 BETWEEN $youngest AND $oldest, FALSE))
    AND ($min_history = 0 OR coalesce(prediction_us - first_us >= $min_history, FALSE))
    AND ($any_setting OR coalesce(
        list_contains(setting_visits, coalesce(latest.visit, -1)), FALSE))"""

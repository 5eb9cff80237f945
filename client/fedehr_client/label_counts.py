"""The site's label counts of the first phase, by the cell rule."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedehr_client.tasks.cohort import read_cohort_labels
from fedehr_shared.cells import told_count
from fedehr_shared.config.cohort import EVERYONE, CohortConfig
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import Labels
from fedehr_shared.meds.schema import TRAIN

Counts = tuple[int, ...]
"""Labelled training subjects in each of `TaskConfig.num_counts` parts: every one in one."""


def count_labels(
    site: SiteFolder,
    tasks: Mapping[str, TaskConfig],
    splits: Mapping[int, str],
    min_cell: int,
    cohort: CohortConfig = EVERYONE,
) -> dict[str, Counts]:
    """By task, labelled training subjects of the cohort, each part told by the cell rule.

    A part with fewer than `min_cell` is told as 0, and a task of such parts alone is left out.

    Raises:
        MissingTaskError: the site has labels for none of the tasks.
        DataError: a label file is damaged, or holds labels of another kind.
    """
    exact = count_outcomes(site, tasks, splits, cohort)
    told = {task: tuple(told_count(num, min_cell) for num in own) for task, own in exact.items()}
    return {task: own for task, own in told.items() if any(own)}


def count_outcomes(
    site: SiteFolder,
    tasks: Mapping[str, TaskConfig],
    splits: Mapping[int, str],
    cohort: CohortConfig = EVERYONE,
) -> dict[str, Counts]:
    """The same, exact and so not to be told; tasks that the site does not have are left out.

    A subject counts once a task, by its first label, so that no part is larger than its number
    of subjects, and one subject moves one part by one.

    Raises:
        MissingTaskError: the site has labels for none of the tasks.
        DataError: a label file is damaged, or holds labels of another kind.
    """
    counts: dict[str, Counts] = {}
    for task, labels in read_cohort_labels(site, tasks, cohort).items():
        parts = parts_of(_first_values(labels, splits), tasks[task])
        found = np.bincount(parts, minlength=tasks[task].num_counts)
        counts[task] = tuple(int(num) for num in found)
    return counts


def _first_values(labels: Labels, splits: Mapping[int, str]) -> NDArray[np.float32]:
    """The first label of each training subject. `[subjects]`."""
    in_time = np.lexsort((labels.prediction_times, labels.subject_ids))
    subjects, places = np.unique(labels.subject_ids[in_time], return_index=True)
    in_train = [splits.get(subject) == TRAIN for subject in subjects.tolist()]
    first: NDArray[np.float32] = labels.values[in_time[places[np.asarray(in_train, dtype=bool)]]]
    return first


def parts_of(values: NDArray[np.float32], task: TaskConfig) -> NDArray[np.int64]:
    """The part that each label is counted in: its class, or the interval of its event, with
    those who had none by the horizon in the last. Shape: `[labels]` both."""
    if task.num_classes:
        return values.astype(np.int64)
    if task.kind == "regression":
        return np.zeros(values.size, dtype=np.int64)
    ends = np.asarray(task.interval_ends_hours, dtype=np.float32)
    # An event at the very end of an interval falls into it.
    intervals = np.searchsorted(ends, values, side="left")
    return np.where(values > 0, intervals, ends.size).astype(np.int64)

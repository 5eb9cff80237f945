"""The site's label counts of the first phase, by the cell rule."""

from collections.abc import Mapping, Sequence

import numpy as np

from fedehr_client.tasks.cohort import read_cohort_labels
from fedehr_shared.cells import told_count
from fedehr_shared.config.cohort import EVERYONE, CohortConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import TRAIN


def count_labels(
    site: SiteFolder,
    tasks: Sequence[str],
    splits: Mapping[int, str],
    min_cell: int,
    cohort: CohortConfig = EVERYONE,
) -> dict[str, tuple[int, int]]:
    """By task, labelled training subjects of the cohort and the positive ones among
    them.

    Positives and negatives are each told by the cell rule; a task with fewer than `min_cell`
    of either is left out.

    Raises:
        MissingTaskError: the site has no labels for a task.
        DataError: a label file is damaged.
    """
    counts: dict[str, tuple[int, int]] = {}
    for task, (negatives, positives) in count_outcomes(site, tasks, splits, cohort).items():
        if min(negatives, positives) >= min_cell:
            told = told_count(positives, min_cell)
            counts[task] = (told + told_count(negatives, min_cell), told)
    return counts


def count_outcomes(
    site: SiteFolder,
    tasks: Sequence[str],
    splits: Mapping[int, str],
    cohort: CohortConfig = EVERYONE,
) -> dict[str, tuple[int, int]]:
    """By task, negative and positive training subjects: exact, so not to be told.

    Raises:
        MissingTaskError: the site has no labels for a task.
        DataError: a label file is damaged.
    """
    counts: dict[str, tuple[int, int]] = {}
    for task, labels in read_cohort_labels(site, tasks, cohort).items():
        in_train = [splits.get(subject) == TRAIN for subject in labels.subject_ids.tolist()]
        values = labels.values[np.asarray(in_train, dtype=bool)]
        counts[task] = (int((values == 0).sum()), int(values.sum()))
    return counts

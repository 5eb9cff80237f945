"""The site's label counts of the first phase, by the cell rule."""

from collections.abc import Mapping, Sequence

import numpy as np

from fedehr_shared.cells import told_count
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_labels
from fedehr_shared.meds.schema import TRAIN


def count_labels(
    site: SiteFolder, tasks: Sequence[str], splits: Mapping[int, str], min_cell: int
) -> dict[str, tuple[int, int]]:
    """By task, labelled training subjects and the positive ones among them.

    Positives and negatives are each told by the cell rule; a task with fewer than `min_cell`
    of either is left out.

    Raises:
        MissingTaskError: the site has no labels for a task.
        DataError: a label file is damaged.
    """
    counts: dict[str, tuple[int, int]] = {}
    for task in tasks:
        labels = read_labels(site, task)
        in_train = [splits.get(subject) == TRAIN for subject in labels.subject_ids.tolist()]
        values = labels.values[np.asarray(in_train, dtype=bool)]
        num, positive = int(values.size), int(values.sum())
        if min(positive, num - positive) >= min_cell:
            told = told_count(positive, min_cell)
            counts[task] = (told + told_count(num - positive, min_cell), told)
    return counts

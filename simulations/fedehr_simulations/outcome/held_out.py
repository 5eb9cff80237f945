"""`HeldOut`: the examples on which every arm is judged, read from the records alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_client.tasks.cohort import read_cohort_labels
from fedehr_shared.config.cohort import CohortConfig
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import HELD_OUT


@dataclass(frozen=True)
class HeldOut:
    """One row a (site, subject, prediction time) of the held-out split, in this order.

    Attributes:
        tasks: the study's tasks.
        site_names: all sites, also those without a row.
        sites: `[rows]`, each row's site.
        subject_ids: `[rows]` int64.
        times: `[rows]` int64, microseconds since 1970.
        labels: `[rows, tasks]` float64, see `fedehr_shared.meds.labels`; NaN where a task has
            no label.
    """

    tasks: tuple[str, ...]
    site_names: tuple[str, ...]
    sites: NDArray[np.str_]
    subject_ids: NDArray[np.int64]
    times: NDArray[np.int64]
    labels: NDArray[np.float64]

    def __len__(self) -> int:
        """The number of rows."""
        return int(self.subject_ids.size)

    @property
    def subjects(self) -> NDArray[np.int64]:
        """A number for each row's subject, from 0: `[rows]`."""
        _, numbers = np.unique(self.subject_ids, return_inverse=True)
        return np.asarray(numbers, dtype=np.int64)


def read_held_out(
    sites: Sequence[SiteFolder], tasks: Mapping[str, TaskConfig], cohort: CohortConfig
) -> HeldOut:
    """The held-out examples of all sites that belong to the cohort.

    Raises:
        MissingTaskError: a site has labels for none of the tasks.
        DataError: a file is damaged.
    """
    keys: list[tuple[str, int, int]] = []
    rows: list[NDArray[np.float64]] = []
    for site in sorted(sites, key=lambda site: site.name):
        for (subject_id, time), row in sorted(_rows_of(site, tasks, cohort).items()):
            keys.append((site.name, subject_id, time))
            rows.append(row)
    return HeldOut(
        tasks=tuple(tasks),
        site_names=tuple(sorted(site.name for site in sites)),
        sites=np.asarray([site for site, _, _ in keys], dtype=np.str_),
        subject_ids=np.asarray([subject_id for _, subject_id, _ in keys], dtype=np.int64),
        times=np.asarray([time for _, _, time in keys], dtype=np.int64),
        labels=np.stack(rows) if rows else np.empty((0, len(tasks))),
    )


def _rows_of(
    site: SiteFolder, tasks: Mapping[str, TaskConfig], cohort: CohortConfig
) -> dict[tuple[int, int], NDArray[np.float64]]:
    splits = read_splits(site)
    rows: dict[tuple[int, int], NDArray[np.float64]] = {}
    by_task = read_cohort_labels(site, tasks, cohort)
    for column, task in enumerate(tasks):
        if task not in by_task:
            continue
        labels = by_task[task]
        triples = zip(
            labels.subject_ids.tolist(),
            labels.prediction_times.tolist(),
            labels.values.tolist(),
            strict=True,
        )
        for subject_id, time, value in triples:
            if splits.get(subject_id) == HELD_OUT:
                row = rows.setdefault((subject_id, time), np.full(len(tasks), np.nan))
                row[column] = value
    return rows

"""`Examples`: labelled windows of subjects, one row a (subject, prediction time)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.errors import DataError
from fedehr_shared.meds.reader import Labels
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.tokens.windows import Windows, windows_before


@dataclass(frozen=True)
class Examples:
    """Inputs and outcomes for several tasks.

    Attributes:
        subject_ids: `[examples]` int64.
        prediction_times: `[examples]` int64, microseconds since 1970.
        windows: one an example, the latest tokens known at its prediction time.
        labels: `[examples, tasks]` float32, see `fedehr_shared.meds.labels`; NaN where a task
            has no label.
    """

    subject_ids: NDArray[np.int64]
    prediction_times: NDArray[np.int64]
    windows: Windows
    labels: NDArray[np.float32]

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.windows)

    def num_subjects(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """By task, subjects with a label among some `[examples]`. `[tasks]`."""
        known = ~np.isnan(self.labels) & chosen[:, None]
        return np.asarray([np.unique(self.subject_ids[own]).size for own in known.T], np.int64)


def select_examples(
    store: TokenStore,
    labels_by_task: Mapping[str, Labels],
    *,
    tasks: Sequence[str],
    splits: Mapping[int, str],
    split: str,
    context: int,
) -> Examples:
    """The examples of one split; events after a prediction time never enter.

    Args:
        store: the site's tokens.
        labels_by_task: of the tasks that the site has.
        tasks: all of the study's.
        splits: by subject.
        split: which.
        context: the most tokens of a window.

    Raises:
        DataError: a label names a subject that has no split.
    """
    keys: dict[tuple[int, int], NDArray[np.float32]] = {}
    for column, task in enumerate(tasks):
        labels = labels_by_task.get(task)
        if labels is None:
            continue
        rows = zip(
            labels.subject_ids.tolist(),
            labels.prediction_times.tolist(),
            labels.values.tolist(),
            strict=True,
        )
        for subject_id, time, value in rows:
            if subject_id not in splits:
                raise DataError(
                    f"labels of task '{task}' name a subject without a split. Import again."
                )
            if splits[subject_id] == split:
                missing = np.full(len(tasks), np.nan, dtype=np.float32)
                keys.setdefault((subject_id, time), missing)[column] = value
    ordered = sorted(keys)
    subject_ids = np.asarray([subject_id for subject_id, _ in ordered], dtype=np.int64)
    times = np.asarray([time for _, time in ordered], dtype=np.int64)
    windows = windows_before(store, store.rows_of(subject_ids), times, context)
    values = [keys[key] for key in ordered]
    table = np.stack(values) if values else np.empty((0, len(tasks)), dtype=np.float32)
    return Examples(subject_ids, times, windows, table)


def trainable(examples: Examples, has_events: NDArray[np.bool_], min_cell: int) -> Examples:
    """The examples without labels of tasks that would rest on fewer than `min_cell` subjects.

    A head learns from its own task's labels alone: what it learns from a few would show them.

    Args:
        examples: of one split.
        has_events: `[examples]`, whether the subject has any: others count nowhere.
        min_cell: subjects.
    """
    enough = examples.num_subjects(has_events) >= min_cell
    labels = np.where(enough, examples.labels, np.float32(np.nan))
    keep = np.flatnonzero(~np.isnan(labels).all(axis=1))
    return Examples(
        examples.subject_ids[keep],
        examples.prediction_times[keep],
        examples.windows[keep],
        labels[keep],
    )

"""`Layout`: in which order a site's rows lie, found in one pass over subjects and times."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder

_NO_TIME = np.iinfo(np.int64).min
_BATCH_ROWS = 262_144
Rows = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Subjects and times (`_NO_TIME` for static events). `[rows]` each."""


@dataclass(frozen=True)
class Layout:
    """How many subjects are where they should be.

    Attributes:
        num_events: all rows.
        num_subjects: distinct subjects.
        num_unsorted: subjects with an event earlier than the one before it.
        num_scattered: subjects whose rows lie apart within a shard.
        num_in_two_shards: subjects with rows in more than one shard.
    """

    num_events: int
    num_subjects: int
    num_unsorted: int
    num_scattered: int
    num_in_two_shards: int


def scan_layout(site: SiteFolder) -> Layout:
    """Read subjects and times of every shard once, batch by batch.

    Memory grows with the number of subjects (8 bytes each and shard), not of events.

    Raises:
        DataError: a shard cannot be read to its end.
    """
    shards = [_scan(file) for file in site.data_files]
    everywhere = np.concatenate([shard.subjects for shard in shards])
    num_subjects = int(np.unique(everywhere).size)
    unsorted: set[int] = set().union(*(shard.unsorted for shard in shards))
    scattered: set[int] = set().union(*(shard.scattered for shard in shards))
    return Layout(
        num_events=sum(shard.num_events for shard in shards),
        num_subjects=num_subjects,
        num_unsorted=len(unsorted),
        num_scattered=len(scattered),
        num_in_two_shards=int(everywhere.size) - num_subjects,
    )


@dataclass(frozen=True)
class _Shard:
    num_events: int
    subjects: NDArray[np.int64]
    unsorted: set[int]
    scattered: set[int]


def _scan(file: Path) -> _Shard:
    num_events = 0
    unsorted: set[int] = set()
    runs = [np.empty(0, dtype=np.int64)]
    last: Rows | None = None
    for subjects, times in _batches(file):
        num_events += subjects.size
        before = (subjects[:1], times[:1]) if last is None else last
        same = subjects == np.concatenate([before[0], subjects[:-1]])
        earlier = times < np.concatenate([before[1], times[:-1]])
        unsorted.update(subjects[same & earlier].tolist())
        if last is None:
            runs.append(subjects[:1])
        runs.append(subjects[~same])
        last = subjects[-1:], times[-1:]
    found, num_runs = np.unique(np.concatenate(runs), return_counts=True)
    return _Shard(num_events, found, unsorted, set(found[num_runs > 1].tolist()))


def _batches(file: Path) -> Iterator[Rows]:
    """Batches with at least one row.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with pq.ParquetFile(file) as shard:
            for batch in shard.iter_batches(_BATCH_ROWS, columns=["subject_id", "time"]):
                if batch.num_rows:
                    times = batch.column("time").cast(pa.timestamp("us")).cast(pa.int64())
                    subjects = batch.column("subject_id").to_numpy(zero_copy_only=False)
                    yield subjects, times.fill_null(_NO_TIME).to_numpy(zero_copy_only=False)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{file} cannot be read to its end: it is damaged. Import again."
        ) from error

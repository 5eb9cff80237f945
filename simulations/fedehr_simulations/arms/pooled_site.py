"""All sites' records as one MEDS dataset; a subject of two sites becomes one subject."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fedehr_client.tasks.cohort import read_cohort_labels
from fedehr_shared.config.cohort import CohortConfig
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.labels import label_table
from fedehr_shared.meds.reader import NO_VISIT, Events, Labels, read_events, read_splits
from fedehr_shared.meds.schema import CODES_SCHEMA, DATA_SCHEMA, SPLITS_SCHEMA
from fedehr_shared.meds.splits import DEFAULT_SPLIT_KEY
from fedehr_shared.meds.writer import write_site


def write_pooled_site(
    folder: Path,
    sites: Sequence[SiteFolder],
    tasks: Mapping[str, TaskConfig],
    cohort: CohortConfig,
) -> SiteFolder:
    """Write the union of `sites` into the new folder `folder`.

    Events are merged by subject and sorted by time, what holds for all time is kept once.
    A subject with labels at two sites keeps the earliest one of the cohort for each task. A task
    of which no site has labels gets no file.

    Raises:
        DataError: a site's files are damaged, or two sites put a subject into two splits.
    """
    splits = _pool_splits(sites)
    labels = [read_cohort_labels(site, tasks, cohort) for site in sites]
    write_site(
        folder,
        events=_pool_events(sites),
        codes=_pool_codes(sites),
        labels={
            task: label_table(_pool_labels([own[task] for own in labels if task in own]), config)
            for task, config in tasks.items()
            if any(task in own for own in labels)
        },
        split_key=DEFAULT_SPLIT_KEY,
        dataset={"dataset_name": "pooled sites", "etl_name": "fedehr-sim compare"},
    )
    pooled = SiteFolder(folder)
    # The sites' own splits count, whatever key they were made with.
    subjects = sorted(splits)
    columns = {"subject_id": subjects, "split": [splits[subject] for subject in subjects]}
    pq.write_table(pa.table(columns, schema=SPLITS_SCHEMA), pooled.splits_file)
    return pooled


def _pool_events(sites: Sequence[SiteFolder]) -> pa.Table:
    tables = []
    num_visits = 0
    for site in sites:
        events = read_events(site)
        table, num_own = _to_table(events, num_visits)
        num_visits += num_own
        tables.append(table)
    table = pa.concat_tables(tables)
    is_static = pc.is_null(table.column("time"))
    static = table.filter(is_static)
    once = static.group_by(static.column_names, use_threads=False).aggregate([])
    return pa.concat_tables([once.select(DATA_SCHEMA.names), table.filter(pc.invert(is_static))])


def _to_table(events: Events, first_visit: int) -> tuple[pa.Table, int]:
    """The events as a table; stays are numbered from `first_visit`, so that two sites' differ."""
    has_visit = events.visit_ids != NO_VISIT
    own, numbers = np.unique(events.visit_ids[has_visit], return_inverse=True)
    visits = np.zeros(len(events), dtype=np.int64)
    visits[has_visit] = first_visit + numbers
    times = pa.array(events.times, mask=events.times == np.iinfo(np.int64).min)
    columns = [
        pa.array(events.subject_ids),
        times.cast(pa.timestamp("us")),
        pa.DictionaryArray.from_arrays(
            pa.array(events.code_indices), pa.array(events.codes, pa.string())
        ).cast(pa.string()),
        pa.array(events.values, mask=np.isnan(events.values)),
        pa.array(visits, mask=~has_visit),
    ]
    return pa.Table.from_arrays(columns, schema=DATA_SCHEMA), int(own.size)


def _pool_codes(sites: Sequence[SiteFolder]) -> pa.Table:
    """Every site's codes, each once; the first site that knows a parent is believed."""
    rows: dict[str, dict[str, object]] = {}
    for site in sites:
        table = pq.read_table(site.codes_file)
        for row in table.to_pylist():
            known = rows.setdefault(row["code"], {"code": row["code"]})
            for name in ("description", "parent_codes", "delay_hours"):
                known[name] = known.get(name) or row.get(name)
    return pa.Table.from_pylist(list(rows.values()), schema=CODES_SCHEMA)


def _pool_labels(by_site: Sequence[Labels]) -> Labels:
    earliest: dict[int, tuple[int, float]] = {}
    for labels in by_site:
        rows = zip(
            labels.subject_ids.tolist(),
            labels.prediction_times.tolist(),
            labels.values.tolist(),
            strict=True,
        )
        for subject_id, time, value in rows:
            if subject_id not in earliest or time < earliest[subject_id][0]:
                earliest[subject_id] = (time, value)
    subjects = sorted(earliest)
    first = [earliest[subject] for subject in subjects]
    return Labels(
        subject_ids=np.asarray(subjects, dtype=np.int64),
        prediction_times=np.asarray([time for time, _ in first], dtype=np.int64),
        values=np.asarray([value for _, value in first], dtype=np.float32),
    )


def _pool_splits(sites: Sequence[SiteFolder]) -> dict[int, str]:
    pooled: dict[int, str] = {}
    for site in sites:
        for subject_id, split in read_splits(site).items():
            if pooled.setdefault(subject_id, split) != split:
                raise DataError(
                    f"site '{site.name}' puts a subject of another site into another split, so "
                    "pooled records would mix both. Import all sites with one split key."
                )
    return pooled

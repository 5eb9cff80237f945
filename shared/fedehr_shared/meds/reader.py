"""Reading a site's MEDS dataset whole: its splits, its labels, all its events."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedehr_shared.errors import DataError
from fedehr_shared.meds.code_table import read_codes
from fedehr_shared.meds.event_stream import stream_events
from fedehr_shared.meds.events import NO_TIME, NO_VISIT, Events, join_events
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import SPLITS

__all__ = [
    "NO_TIME",
    "NO_VISIT",
    "Events",
    "Labels",
    "read_events",
    "read_labels",
    "read_parents",
    "read_splits",
]


@dataclass(frozen=True)
class Labels:
    """One task's labels: `[labels]` each; `values` are 0 or 1."""

    subject_ids: NDArray[np.int64]
    prediction_times: NDArray[np.int64]
    values: NDArray[np.int8]


def read_events(site: SiteFolder) -> Events:
    """All events of a site at once: for small sites; `stream_events` is for any.

    Raises:
        DataError: as `stream_events`, or `codes.parquet` is damaged.
    """
    return join_events(list(stream_events(site, read_codes(site))))


def read_parents(site: SiteFolder) -> dict[str, str]:
    """Each code's first parent, from `codes.parquet`."""
    table = _read_table(site.codes_file, ["code", "parent_codes"])
    pairs = zip(
        table.column("code").to_pylist(), table.column("parent_codes").to_pylist(), strict=True
    )
    return {code: parents[0] for code, parents in pairs if parents}


def read_splits(site: SiteFolder) -> dict[int, str]:
    """Each subject's split.

    Raises:
        DataError: the file is damaged or names a split that MEDS does not know.
    """
    table = _read_table(site.splits_file, ["subject_id", "split"])
    splits = table.column("split").to_pylist()
    unknown = set(splits) - set(SPLITS)
    if unknown:
        raise DataError(
            f"{site.splits_file} names {len(unknown)} split(s) other than {', '.join(SPLITS)}. "
            "Import the records again."
        )
    return dict(zip(table.column("subject_id").to_pylist(), splits, strict=True))


def read_labels(site: SiteFolder, task: str) -> Labels:
    """One task's binary labels; rows without a value are left out.

    Raises:
        MissingTaskError: the site has no labels for the task.
        DataError: the file is damaged, or names a subject twice.
    """
    table = _read_table(site.labels_file(task), ["subject_id", "prediction_time", "boolean_value"])
    table = table.filter(pc.is_valid(table.column("boolean_value")))
    if pc.count_distinct(table.column("subject_id")).as_py() != table.num_rows:
        raise DataError(
            f"labels of task '{task}' name a subject twice, and every count and interval is over "
            "subjects. Keep one label a subject."
        )
    return Labels(
        subject_ids=_numpy(table, "subject_id", 0),
        prediction_times=_numpy(table, "prediction_time", NO_TIME),
        values=table.column("boolean_value").cast(pa.int8()).to_numpy(),
    )


def _read_table(file: Path, columns: list[str]) -> pa.Table:
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {file}: it is missing or damaged. Import again.") from error
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise DataError(f"{file} lacks the column(s) {missing}. Import the records again.")
    return table


def _numpy(table: pa.Table, name: str, null: float) -> NDArray[Any]:
    column = table.column(name)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    filled = pc.fill_null(column, pa.scalar(null, column.type))
    result: NDArray[Any] = filled.to_numpy()
    return result

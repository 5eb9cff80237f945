"""Reading a site's MEDS dataset into flat arrays."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import SPLITS

NO_TIME = np.iinfo(np.int64).min
NO_VISIT = -1


@dataclass(frozen=True)
class Events:
    """A site's events, sorted by subject and time, static events first.

    Attributes:
        subject_ids: `[events]` int64.
        times: `[events]` int64, microseconds since 1970; `NO_TIME` for static events.
        code_indices: `[events]` int32 into `codes`.
        values: `[events]` float32, NaN where there is none.
        visit_ids: `[events]` int64, `NO_VISIT` outside a hospital stay.
        codes: every code of the events.
    """

    subject_ids: NDArray[np.int64]
    times: NDArray[np.int64]
    code_indices: NDArray[np.int32]
    values: NDArray[np.float32]
    visit_ids: NDArray[np.int64]
    codes: tuple[str, ...]

    def __len__(self) -> int:
        """The number of events."""
        return int(self.subject_ids.size)


@dataclass(frozen=True)
class Labels:
    """One task's labels: `[labels]` each; `values` are 0 or 1."""

    subject_ids: NDArray[np.int64]
    prediction_times: NDArray[np.int64]
    values: NDArray[np.int8]


def read_events(site: SiteFolder) -> Events:
    """Read all events of a site.

    Raises:
        DataError: a shard is damaged, lacks a column, or is not sorted by subject and time.
    """
    tables = [_read_table(file, ["subject_id", "time", "code"]) for file in site.data_files]
    table = pa.concat_tables([_complete(table) for table in tables]).combine_chunks()
    if table.num_rows == 0:
        raise DataError(f"site '{site.name}' has no events. Import its records again.")
    code_column = pc.dictionary_encode(table.column("code")).combine_chunks()
    if isinstance(code_column, pa.ChunkedArray):
        code_column = code_column.chunk(0)
    events = Events(
        subject_ids=_numpy(table, "subject_id", 0),
        times=_numpy(table, "time", NO_TIME),
        code_indices=code_column.indices.to_numpy(zero_copy_only=False).astype(np.int32),
        values=_numpy(table, "numeric_value", float("nan")),
        visit_ids=_numpy(table, "visit_id", NO_VISIT),
        codes=tuple(code_column.dictionary.to_pylist()),
    )
    _check_order(events, site.name)
    return events


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
        raise DataError(f"{site.splits_file} names unknown splits {sorted(unknown)}; use {SPLITS}.")
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


def _complete(table: pa.Table) -> pa.Table:
    """The columns that we read, optional ones filled with nulls, in one order."""
    optional = {"numeric_value": pa.float32(), "visit_id": pa.int64()}
    for name, kind in optional.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, kind))
    kinds = {"subject_id": pa.int64(), "time": pa.timestamp("us"), "code": pa.string(), **optional}
    return table.select(list(kinds)).cast(pa.schema(kinds.items()))


def _numpy(table: pa.Table, name: str, null: float) -> NDArray[Any]:
    column = table.column(name)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    filled = pc.fill_null(column, pa.scalar(null, column.type))
    result: NDArray[Any] = filled.to_numpy()
    return result


def _check_order(events: Events, site: str) -> None:
    same_subject = events.subject_ids[1:] == events.subject_ids[:-1]
    backwards = bool(np.any(events.times[1:][same_subject] < events.times[:-1][same_subject]))
    starts = np.concatenate([[True], ~same_subject])
    scattered = np.unique(events.subject_ids).size != int(starts.sum())
    if backwards or scattered:
        raise DataError(
            f"the events of site '{site}' are not sorted by subject and time, or a subject lies "
            "in two shards. Import them again."
        )

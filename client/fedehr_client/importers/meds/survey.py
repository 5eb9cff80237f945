"""`Survey`: what is out of order in a dataset's shards, found in one pass over two columns."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedehr_client.importers.engine.header import match_header
from fedehr_client.importers.meds.tables import DATA
from fedehr_shared.errors import DataError

_NUM_ROWS = 131_072
_NO_TIME = np.iinfo(np.int64).min


@dataclass
class Survey:
    """Counts over all shards; what is counted is repaired by the import.

    Attributes:
        repairs: by reason.
        subjects: of each shard its distinct subjects, 8 bytes each.
    """

    repairs: Counter[str] = field(default_factory=Counter)
    subjects: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, file: Path) -> None:
        """Look through one shard.

        Raises:
            DataError: it is damaged, is of a version before 0.3, or lacks a column.
        """
        try:
            with pq.ParquetFile(file) as shard:
                subject, time = self._look_at_names(shard.schema_arrow, file)
                self._look_at_rows(shard, subject, time)
        except (OSError, ValueError, pa.ArrowException):
            # ValueError: a name that is no UTF-8. Arrow's own message may quote the file.
            raise DataError(f"{file} is not a whole Parquet file. Copy it again.") from None

    def finish(self) -> Counter[str]:
        """The repairs, with subjects that lie in several shards."""
        _, num_shards = np.unique(np.concatenate(self.subjects), return_counts=True)
        self._count("subjects_in_several_shards", int((num_shards > 1).sum()))
        return self.repairs

    def _look_at_names(self, schema: pa.Schema, file: Path) -> tuple[str, str]:
        nested = [name for name in schema.names if pa.types.is_nested(schema.field(name).type)]
        if {"events", "static_measurements"} & set(nested):
            raise DataError(
                f"{file} holds a row a subject, as MEDS did before 0.3, and 0.3 to 0.4 is read. "
                "Write it again with a present version of the tool that made it."
            )
        places = match_header(DATA, schema.names, file.name)
        names = {name: schema.names[place] for name, place in places.items()}
        for name, found in names.items():
            if name not in {found, "visit_id"}:
                self._count(f"files_with_{found.lower()}_for_{name}", 1)
        time = schema.field(names["time"]).type
        if pa.types.is_timestamp(time) and time.unit != "us":
            self._count(f"files_with_time_in_{time.unit}", 1)
        if pa.types.is_timestamp(time) and time.tz is not None:
            self._count("files_with_time_zone", 1)
        return names["subject_id"], names["time"]

    def _look_at_rows(self, shard: pq.ParquetFile, subject: str, time: str) -> None:
        """Rows that stand before an earlier one, and subjects that begin again."""
        last: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        starts: list[NDArray[np.int64]] = []
        for batch in shard.iter_batches(_NUM_ROWS, columns=[subject, time]):
            ids, times = _whole(batch.column(subject)), _whole(batch.column(time))
            if last is not None:
                ids, times = np.append(last[0], ids), np.append(last[1], times)
            same = ids[1:] == ids[:-1]
            self._count("rows_out_of_order", int((times[1:][same] < times[:-1][same]).sum()))
            begins = ids[1:][~same]
            starts.append(begins if last is not None else np.append(ids[:1], begins))
            last = ids[-1:], times[-1:]
        runs = np.concatenate([*starts, np.empty(0, dtype=np.int64)])
        distinct = np.unique(runs)
        self.subjects.append(distinct)
        self._count("subjects_in_pieces", int(runs.size - distinct.size))

    def _count(self, reason: str, num: int) -> None:
        if num:
            self.repairs[reason] += num


def _whole(column: pa.Array) -> NDArray[np.int64]:
    """As int64, null the lowest; a type with no order of its own counts as null."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False).cast(pa.int64())
    elif not pa.types.is_integer(column.type):
        return np.full(len(column), _NO_TIME, dtype=np.int64)
    # Numbers beyond int64 are bad rows when they are read; here they only must not fail.
    whole_numbers = column.cast(pa.int64(), safe=False)
    filled = pc.fill_null(whole_numbers, pa.scalar(_NO_TIME, pa.int64()))
    whole: NDArray[np.int64] = filled.to_numpy(zero_copy_only=False)
    return whole

"""`SplitWriter`: each subject's split, as it passes; what was fixed before stays."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedehr_shared.meds.schema import SPLITS, SPLITS_SCHEMA
from fedehr_shared.meds.splits import split_subjects

_ROWS_A_GROUP = 131_072


class KnownSplits:
    """Splits fixed beforehand, at 9 bytes a subject."""

    def __init__(self, table: pa.Table) -> None:
        """Take `table`, columns of `SPLITS_SCHEMA`; its splits are known to MEDS."""
        ids = table.column("subject_id").to_numpy()
        order = np.argsort(ids, kind="stable")
        self._ids: NDArray[np.int64] = ids[order]
        numbers = pa.compute.index_in(table.column("split"), pa.array(SPLITS))
        self._numbers: NDArray[np.int8] = numbers.to_numpy().astype(np.int8)[order]

    def look_up(self, subject_ids: NDArray[np.int64]) -> NDArray[np.int8]:
        """Rows of `SPLITS`, -1 where nothing is fixed. `[subjects]` to `[subjects]`."""
        if not self._ids.size:
            return np.full(subject_ids.shape, -1, dtype=np.int8)
        at = np.minimum(np.searchsorted(self._ids, subject_ids), self._ids.size - 1)
        return np.where(self._ids[at] == subject_ids, self._numbers[at], -1).astype(np.int8)


class SplitWriter:
    """A context that takes subjects in rising order and writes `subject_splits.parquet`.

    Attributes:
        num_subjects: taken so far.
    """

    def __init__(self, file: Path, key: str, known: Sequence[KnownSplits]) -> None:
        """Of `known` the first that knows a subject decides; else the keyed hash."""
        self._file = file
        self._key = key
        self._known = known
        self._last: int | None = None
        self._waiting: list[NDArray[np.int64]] = []
        self._num_waiting = 0
        self.num_subjects = 0

    def __enter__(self) -> "SplitWriter":
        """Open the file."""
        self._writer = pq.ParquetWriter(self._file, SPLITS_SCHEMA, compression="zstd")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what waits and close the file."""
        if kind is None:
            self._flush()
        self._writer.close()

    def add(self, subject_ids: NDArray[np.int64]) -> None:
        """Take the subjects of sorted events, each as often as it comes. `[events]`."""
        if not subject_ids.size:
            return
        is_new = np.empty(subject_ids.size, dtype=bool)
        np.not_equal(subject_ids[1:], subject_ids[:-1], out=is_new[1:])
        is_new[0] = subject_ids[0] != self._last
        self._last = int(subject_ids[-1])
        self._waiting.append(subject_ids[is_new])
        self._num_waiting += int(is_new.sum())
        while self._num_waiting >= _ROWS_A_GROUP:
            self._flush(_ROWS_A_GROUP)

    def _flush(self, num: int | None = None) -> None:
        subjects = np.concatenate([*self._waiting, np.empty(0, dtype=np.int64)])
        taken, rest = subjects[:num], subjects[len(subjects) if num is None else num :]
        self._waiting, self._num_waiting = [rest], rest.size
        if not taken.size:
            return
        numbers = np.full(taken.shape, -1, dtype=np.int8)
        for known in self._known:
            numbers = np.where(numbers < 0, known.look_up(taken), numbers)
        splits = np.asarray(SPLITS, dtype=object)[numbers]
        unknown = numbers < 0
        splits[unknown] = split_subjects(taken[unknown].tolist(), self._key)
        table = pa.table({"subject_id": taken, "split": splits}, schema=SPLITS_SCHEMA)
        self._writer.write_table(table, row_group_size=_ROWS_A_GROUP)
        self.num_subjects += taken.size

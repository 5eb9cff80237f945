"""`ShardWriter`: sorted events into `data/*.parquet`, whole subjects to a file."""

from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fedehr_shared.meds.schema import DATA_SCHEMA

SHARD_EVENTS = 3_000_000
ROW_GROUP_EVENTS = 131_072


class ShardWriter:
    """A context that takes events in their final order and cuts them into shards.

    A shard ends at the first subject that begins after `shard_events`; row groups hold
    `ROW_GROUP_EVENTS`. The same events give the same bytes however they are handed over.

    Attributes:
        num_events: written so far.
        num_shards: begun so far.
    """

    def __init__(self, folder: Path, *, shard_events: int = SHARD_EVENTS) -> None:
        self._folder = folder
        self._shard_events = shard_events
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._num_waiting = 0
        self._in_shard = 0
        self._last_subject: int | None = None
        self.num_events = 0
        self.num_shards = 0

    def __enter__(self) -> "ShardWriter":
        """Make the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the last shard."""
        if kind is None:
            self._end_shard()
        elif self._writer is not None:
            self._writer.close()

    def write(self, events: pa.Table) -> None:
        """Append events: columns of `DATA_SCHEMA`, sorted, none before those written already."""
        events = events.select(DATA_SCHEMA.names).cast(DATA_SCHEMA)
        while (cut := self._find_cut(events)) is not None:
            self._append(events.slice(0, cut))
            self._end_shard()
            events = events.slice(cut)
        self._append(events)

    def _find_cut(self, events: pa.Table) -> int | None:
        """The row at which a new shard begins; null where this one holds them all."""
        earliest = max(self._shard_events - self._in_shard, 0)
        if events.num_rows <= earliest or self._in_shard + events.num_rows == 0:
            return None
        subjects = events.column("subject_id").to_numpy()
        is_first = np.empty(subjects.size, dtype=bool)
        np.not_equal(subjects[1:], subjects[:-1], out=is_first[1:])
        is_first[0] = self._in_shard > 0 and subjects[0] != self._last_subject
        rows = np.flatnonzero(is_first[earliest:])
        return int(rows[0]) + earliest if rows.size else None

    def _append(self, events: pa.Table) -> None:
        if events.num_rows == 0:
            return
        self._waiting.append(events)
        self._num_waiting += events.num_rows
        self._in_shard += events.num_rows
        self.num_events += events.num_rows
        self._last_subject = events.column("subject_id")[-1].as_py()
        if self._num_waiting >= ROW_GROUP_EVENTS:
            self._flush(self._num_waiting // ROW_GROUP_EVENTS * ROW_GROUP_EVENTS)

    def _flush(self, num_rows: int) -> None:
        # Page ends depend on where Arrow's chunks end: one chunk gives the same bytes always.
        waiting = pa.concat_tables(self._waiting).combine_chunks()
        for start in range(0, num_rows, ROW_GROUP_EVENTS):
            group = waiting.slice(start, min(ROW_GROUP_EVENTS, num_rows - start))
            self._open().write_table(group, row_group_size=ROW_GROUP_EVENTS)
        self._waiting = [waiting.slice(num_rows)]
        self._num_waiting -= num_rows

    def _open(self) -> pq.ParquetWriter:
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._folder / f"{self.num_shards}.parquet",
                DATA_SCHEMA,
                compression="zstd",
                compression_level=1,
                use_dictionary=["subject_id", "code", "visit_id"],
                # Sorted times as differences: a third of the bytes, and quicker to read.
                column_encoding={"time": "DELTA_BINARY_PACKED"},
            )
            self.num_shards += 1
        return self._writer

    def _end_shard(self) -> None:
        if self._num_waiting:
            self._flush(self._num_waiting)
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        self._waiting = []
        self._in_shard = 0

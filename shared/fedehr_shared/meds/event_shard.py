"""One shard of a MEDS dataset, read batch by batch into `Events`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedehr_shared.errors import DataError
from fedehr_shared.meds.code_table import CodeTable
from fedehr_shared.meds.events import NO_TIME, NO_VISIT, Events

_REQUIRED = ("subject_id", "time", "code")
_NAN_BITS = int(np.float32("nan").view(np.int32))


class CodeIndex:
    """Turns a column of codes into rows of a `CodeTable`, one look-up a distinct code."""

    def __init__(self, codes: CodeTable) -> None:
        self._row_of = {code: row for row, code in enumerate(codes.codes)}
        self._dictionary: pa.Array | None = None
        self._rows = np.empty(0, dtype=np.int32)

    def rows_of(self, column: pa.Array) -> NDArray[np.int32] | None:
        """Each code's row, `[n]` to `[n]`; None where the table lacks one of the codes.

        Args:
            column: strings, or a dictionary of strings; without nulls.
        """
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        # A shard's batches share a dictionary until a row group brings another.
        if self._dictionary is None or not column.dictionary.equals(self._dictionary):
            found = [self._row_of.get(code, -1) for code in column.dictionary.to_pylist()]
            self._rows = np.asarray(found, dtype=np.int32)
            self._dictionary = column.dictionary
        indices = column.indices.to_numpy(zero_copy_only=False)
        rows: NDArray[np.int32] = self._rows.take(indices)
        # A dictionary may name codes that no event has.
        if self._rows.size and self._rows.min() < 0 and rows.size and rows.min() < 0:
            return None
        return rows


def read_shard(file: Path, codes: CodeTable, index: CodeIndex, num_rows: int) -> Iterator[Events]:
    """The shard's events in file order, at most `num_rows` at a time; never an empty part.

    Raises:
        DataError: the file is damaged, lacks a column, holds an event without a subject or a
            code, a column of another type, or a code that `codes` lacks.
    """
    try:
        with pq.ParquetFile(file, read_dictionary=["code"], pre_buffer=False) as shard:
            columns = _columns_of(shard, file)
            for batch in shard.iter_batches(num_rows, columns=columns, use_threads=False):
                if batch.num_rows:
                    yield _to_events(batch, codes, index, file)
        # Else what one shard left over stays beside the next one's.
        pa.default_memory_pool().release_unused()
    except (OSError, pa.ArrowException):
        # Arrow's own words may quote a value.
        raise DataError(
            f"cannot read {file}: it is missing, damaged, or holds a number or time beyond MEDS's "
            "range. Import the records again."
        ) from None


def _columns_of(shard: pq.ParquetFile, file: Path) -> list[str]:
    """The names of the columns to read."""
    schema = shard.schema_arrow
    missing = [name for name in _REQUIRED if name not in schema.names]
    if missing:
        raise DataError(f"{file} lacks the column(s) {missing}. Import the records again.")
    names = [name for name in _KINDS if name in schema.names]
    wrong = [name for name in names if not _KINDS[name](_value_type(schema.field(name).type))]
    if wrong:
        raise DataError(
            f"{file} has column(s) {wrong} of another type than MEDS says. Import the records "
            "again."
        )
    return names


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


_KINDS: dict[str, Callable[[pa.DataType], bool]] = {
    "subject_id": pa.types.is_integer,
    "time": pa.types.is_timestamp,
    "code": _is_text,
    "numeric_value": _is_number,
    "visit_id": pa.types.is_integer,
}
"""What each column may hold; those of `_REQUIRED` must be there."""


def _to_events(batch: pa.RecordBatch, codes: CodeTable, index: CodeIndex, file: Path) -> Events:
    if batch.column("subject_id").null_count or batch.column("code").null_count:
        raise DataError(f"{file} holds an event without a subject or a code. Import again.")
    code_indices = index.rows_of(batch.column("code"))
    if code_indices is None:
        raise DataError(
            f"{file} holds a code that metadata/codes.parquet does not name. Import the records "
            "again."
        )
    times = batch.column("time").cast(pa.timestamp("us")).cast(pa.int64())
    return Events(
        subject_ids=_filled(batch.column("subject_id"), pa.int64(), 0),
        times=_filled(times, pa.int64(), NO_TIME),
        code_indices=code_indices,
        values=_values(batch),
        visit_ids=_visit_ids(batch),
        codes=codes.codes,
    )


def _values(batch: pa.RecordBatch) -> NDArray[np.float32]:
    if "numeric_value" not in batch.schema.names:
        return np.full(batch.num_rows, np.nan, dtype=np.float32)
    # MEDS keeps values in 32 bits: digits may be lost here, and nowhere else.
    column = batch.column("numeric_value").cast(pa.float32(), safe=False)
    # Arrow fills nulls of integers ten times as fast as of floats.
    bits = _filled(column.view(pa.int32()), pa.int32(), _NAN_BITS)
    values: NDArray[np.float32] = bits.view(np.float32)
    return values


def _visit_ids(batch: pa.RecordBatch) -> NDArray[np.int64]:
    if "visit_id" not in batch.schema.names:
        return np.full(batch.num_rows, NO_VISIT, dtype=np.int64)
    return _filled(batch.column("visit_id"), pa.int64(), NO_VISIT)


def _filled(column: pa.Array, kind: pa.DataType, null: int) -> NDArray[Any]:
    column = column.cast(kind)
    if column.null_count:
        column = pc.fill_null(column, pa.scalar(null, kind))
    array: NDArray[Any] = column.to_numpy()
    return array

"""One Parquet file without the rows of withdrawn subjects, in bounded memory."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedehr_shared.errors import DataError
from fedehr_shared.meds.withdrawn import Withdrawn

PARTIAL_SUFFIX = ".erasing"
"""Of a file that is being written; one left by a crash holds no withdrawn subject."""

_NUM_ROWS = 131_072
_SUBJECT = "subject_id"


@dataclass(frozen=True)
class Occurrence:
    """Withdrawn subjects in some files."""

    subject_ids: frozenset[int]
    num_rows: int


def find_rows(files: Iterable[Path], withdrawn: Withdrawn) -> Occurrence:
    """Who of the withdrawn is in these files, in how many rows.

    Raises:
        DataError: a file is damaged or lacks `subject_id`.
    """
    subjects: set[int] = set()
    num_rows = 0
    for file in files:
        with _opened(file) as source:
            for ids in _subject_ids(source):
                rows = _rows_of(ids, withdrawn)
                subjects.update(ids[rows].tolist())
                num_rows += int(rows.sum())
    return Occurrence(frozenset(subjects), num_rows)


def remove_rows(file: Path, withdrawn: Withdrawn, *, drop_empty: bool) -> None:
    """Write `file` again without the withdrawn; the old one is replaced in one step.

    A file that holds none of them is not touched.

    Args:
        file: a Parquet file with `subject_id`.
        withdrawn: who is to go.
        drop_empty: a file without a row left is removed; otherwise it stays, empty.

    Raises:
        DataError: the file is damaged, lacks `subject_id`, or the disk is full.
    """
    with _opened(file) as source:
        if not any(_rows_of(ids, withdrawn).any() for ids in _subject_ids(source)):
            return
        partial = file.with_name(f".{file.name}{PARTIAL_SUFFIX}")
        try:
            num_rows = _write_others(source, partial, withdrawn)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    if num_rows or not drop_empty:
        replace_durably(partial, file)
    else:
        partial.unlink()
        file.unlink()
        sync(file.parent)


def replace_durably(partial: Path, file: Path) -> None:
    """Give `partial` the name `file`; both its content and its name survive a power cut."""
    sync(partial)
    partial.replace(file)
    sync(file.parent)


def sync(path: Path) -> None:
    """Wait until the file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_others(source: pq.ParquetFile, partial: Path, withdrawn: Withdrawn) -> int:
    num_rows = 0
    with pq.ParquetWriter(partial, source.schema_arrow, compression="zstd") as writer:
        for batch in source.iter_batches(_NUM_ROWS):
            kept = batch.filter(pa.array(~_rows_of(_numpy(batch), withdrawn)))
            if kept.num_rows:
                writer.write_batch(kept)
                num_rows += kept.num_rows
    return num_rows


def _subject_ids(source: pq.ParquetFile) -> Iterator[NDArray[np.int64]]:
    for batch in source.iter_batches(_NUM_ROWS, columns=[_SUBJECT]):
        yield _numpy(batch)


def _numpy(batch: pa.RecordBatch) -> NDArray[np.int64]:
    # A row of nobody stays; no subject can be told from it.
    filled = pc.fill_null(batch.column(_SUBJECT), 0)
    ids: NDArray[np.int64] = filled.to_numpy(zero_copy_only=False)
    return ids


def _rows_of(ids: NDArray[np.int64], withdrawn: Withdrawn) -> NDArray[np.bool_]:
    distinct, inverse = np.unique(ids, return_inverse=True)
    rows: NDArray[np.bool_] = withdrawn.mask(distinct)[inverse]
    return rows


@contextmanager
def _opened(file: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(file) as source:
            names = source.schema_arrow.names
            if _SUBJECT not in names or source.schema_arrow.field(_SUBJECT).type != pa.int64():
                raise DataError(f"{file} has no int64 column '{_SUBJECT}'. Import records again.")
            yield source
    except (OSError, ValueError, pa.ArrowException) as error:
        # ValueError: names that are no UTF-8. Arrow's own message may quote what the file holds.
        raise DataError(
            f"cannot read or rewrite {file}: it is damaged, or the disk is full. Mend that, or "
            "import the records again, and repeat the command."
        ) from error

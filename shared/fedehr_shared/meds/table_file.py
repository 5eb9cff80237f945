"""A Parquet file of a site, read whole."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedehr_shared.errors import DataError


def read_table(file: Path, columns: list[str]) -> pa.Table:
    """All of a file, which must have these columns.

    Raises:
        DataError: it is missing or damaged, or lacks one.
    """
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {file}: it is missing or damaged. Import again.") from error
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise DataError(f"{file} lacks the column(s) {missing}. Import the records again.")
    return table


def numpy_column(table: pa.Table, name: str, null: float) -> NDArray[Any]:
    """A column, with `null` for what is missing; times in microseconds since 1970."""
    column = table.column(name)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    filled = pc.fill_null(column, pa.scalar(null, column.type))
    result: NDArray[Any] = filled.to_numpy()
    return result

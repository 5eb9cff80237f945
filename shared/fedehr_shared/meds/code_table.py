"""`CodeTable`: what `metadata/codes.parquet` says of a site's codes."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder


@dataclass(frozen=True)
class CodeTable:
    """Every code that a site's events may name; an event's code index is a row of it.

    Attributes:
        codes: `[codes]`, each once, in the file's order.
        descriptions: `[codes]`, None where there is none.
        parents: each code's first parent.
        delay_hours: `[codes]` float32: how much later than its time an event of the code is
            known (billing codes), 0 for most.
    """

    codes: tuple[str, ...]
    descriptions: tuple[str | None, ...]
    parents: dict[str, str]
    delay_hours: NDArray[np.float32]


def read_codes(site: SiteFolder) -> CodeTable:
    """Read `codes.parquet`; of several rows a code (MEDS allows them) the first counts.

    Raises:
        DataError: the file is missing or damaged, lacks `code`, or holds a delay below 0.
    """
    table = _read(site)
    codes = table.column("code").to_pylist()
    if None in codes:
        raise DataError(f"{site.codes_file} holds a row without a code. Import the records again.")
    rows = list({code: row for row, code in reversed(list(enumerate(codes)))}.values())[::-1]
    descriptions = _column(table, "description")
    parents = _column(table, "parent_codes")
    delays = np.asarray([delay or 0.0 for delay in _column(table, "delay_hours")], dtype=np.float32)
    if not (np.isfinite(delays).all() and (delays >= 0).all()):
        raise DataError(f"{site.codes_file} holds a delay_hours below 0. Import the records again.")
    return CodeTable(
        codes=tuple(codes[row] for row in rows),
        descriptions=tuple(descriptions[row] for row in rows),
        parents={codes[row]: parents[row][0] for row in rows if parents[row]},
        delay_hours=delays[rows],
    )


def _read(site: SiteFolder) -> pa.Table:
    try:
        table = pq.read_table(site.codes_file)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"cannot read {site.codes_file}: it is missing or damaged. Import again."
        ) from error
    if "code" not in table.column_names:
        raise DataError(f"{site.codes_file} lacks the column 'code'. Import the records again.")
    return table


def _column(table: pa.Table, name: str) -> list[object]:
    """The column's values, or as many None where the file has no such column."""
    if name not in table.column_names:
        return [None] * table.num_rows
    values: list[object] = table.column(name).to_pylist()
    return values

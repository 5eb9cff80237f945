"""Whether DuckDB saw every record of a CSV file: it drops what an open quote swallows."""

import csv
import io
from array import array
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedehr_client.importers.engine.csv_file import CsvFile, open_bytes
from fedehr_client.importers.engine.row_source import LINE_BYTES
from fedehr_shared.errors import DataError


def find_blank_lines(
    file: CsvFile, path: Path, num_lines: int, num_records: int
) -> NDArray[np.int64]:
    """Check the number of records, by lines or, where a record has several, by other means.

    Args:
        path: the file, or its copy in UTF-8.
        num_records: records that DuckDB found, refused ones included, without the header.

    Returns:
        The blank lines' numbers among records and blank lines, from 1 without the header.

    Raises:
        DataError: the records cannot be told apart.
    """
    if num_records + 1 == num_lines:
        return np.empty(0, dtype=np.int64)
    counted = _count(file, path)
    if counted is None or counted[0] != num_records + 1:
        raise DataError(
            f"{file.path}: its records cannot be told apart after row {num_records}: a quote is "
            "opened and never closed, or a record is longer than a megabyte. Correct that row."
        )
    return counted[1]


def _count(file: CsvFile, path: Path) -> tuple[int, NDArray[np.int64]] | None:
    """Records of the file, the header included, and its blank lines; null where one is longer
    than may be."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if file.is_quoted else csv.QUOTE_NONE
    is_gzip = file.is_gzip or path != file.path
    previous = csv.field_size_limit(LINE_BYTES)
    num, blank = 0, array("q")
    try:
        with open_bytes(path, is_gzip) as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
            for record in csv.reader(text, delimiter=file.delimiter, quoting=quoting):
                if record or len(file.header) == 1:
                    num += 1
                else:
                    blank.append(num + len(blank))
    except csv.Error:
        return None
    finally:
        csv.field_size_limit(previous)
    return num, np.frombuffer(blank, dtype=np.int64)

"""Whether DuckDB saw every record of a CSV file: it drops what an open quote swallows."""

import csv
import io
from pathlib import Path
from typing import Literal

from fedehr_client.importers.engine.csv_file import CsvFile, open_bytes
from fedehr_client.importers.engine.row_source import LINE_BYTES
from fedehr_shared.errors import DataError


def check_record_count(file: CsvFile, path: Path, num_lines: int, num_records: int) -> None:
    """Compare with the number of lines; where a record has several, count by other means.

    Args:
        path: the file, or its copy in UTF-8.
        num_records: records that DuckDB found, refused ones included, without the header.

    Raises:
        DataError: the records cannot be told apart.
    """
    if num_records + 1 == num_lines or _count(file, path) == num_records + 1:
        return
    raise DataError(
        f"{file.path}: its records cannot be told apart after row {num_records}: a quote is "
        "opened and never closed, or a record is longer than a megabyte. Correct that row."
    )


def _count(file: CsvFile, path: Path) -> int | None:
    """Records of the file, the header included; null where one is longer than may be."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if file.is_quoted else csv.QUOTE_NONE
    is_gzip = file.is_gzip or path != file.path
    previous = csv.field_size_limit(LINE_BYTES)
    try:
        with open_bytes(path, is_gzip) as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
            records = csv.reader(text, delimiter=file.delimiter, quoting=quoting)
            return sum(1 for record in records if record or len(file.header) == 1)
    except csv.Error:
        return None
    finally:
        csv.field_size_limit(previous)

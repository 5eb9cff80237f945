"""`Rejects`: lines of a CSV file that are no records of its shape, by DuckDB's account."""

from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from fedehr_client.importers.engine.bad_rows import NUM_LISTED, BadRows
from fedehr_shared.errors import DataError

_REASONS = {
    "MISSING COLUMNS": "has fewer fields than the header",
    "TOO MANY COLUMNS": "has more fields than the header",
    "INVALID ENCODING": "holds bytes that are not of the encoding",
    "UNQUOTED VALUE": "is not quoted as CSV is",
}
_ENDLESS = ("UNTERMINATED QUOTES", "LINE SIZE OVER MAXIMUM")
"""They swallow the rows that follow: how many are lost cannot be told."""


@dataclass(frozen=True)
class Rejects:
    """One file's refused lines.

    Attributes:
        rows: `[rejects]` int64, their numbers from 1 without the header, rising.
        reasons: `[rejects]`.
    """

    rows: NDArray[np.int64]
    reasons: NDArray[np.str_]

    @property
    def num(self) -> int:
        """How many."""
        return int(self.rows.size)

    def without(self, blank: NDArray[np.int64]) -> "Rejects":
        """The same where blank lines were counted, too; `blank` are their numbers, rising."""
        return Rejects(self.rows - np.searchsorted(blank, self.rows), self.reasons)

    def number(self, accepted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row numbers in the file of the n-th rows that were not refused, n from 1."""
        before = self.rows - np.arange(1, self.num + 1)
        return accepted + np.searchsorted(before, accepted, side="left")

    def report(self, bad_rows: BadRows, table: str, first_row: int) -> None:
        """Count them in `bad_rows`; the file's rows follow `first_row` earlier ones."""
        for reason in np.unique(self.reasons):
            rows = self.rows[self.reasons == reason]
            listed = (rows[:NUM_LISTED] + first_row).tolist()
            bad_rows.add(table, str(reason), int(rows.size), listed)


def take_rejects(connection: duckdb.DuckDBPyConnection, name: str, where: str) -> Rejects:
    """Read and drop the tables of refused lines that `name` stands for.

    Raises:
        DataError: a line has no end, so that rows after it are lost.
    """
    found = connection.execute(
        f"""SELECT CAST(line AS BIGINT) - 1, min(CAST(error_type AS VARCHAR)) FROM {name}
        GROUP BY line ORDER BY line"""
    ).fetchall()
    endless = connection.execute(
        f"""SELECT min(line) - 1 FROM {name}
        WHERE CAST(error_type AS VARCHAR) IN {_ENDLESS} HAVING count(*) > 0"""
    ).fetchall()
    connection.execute(f"DROP TABLE {name}")
    connection.execute(f"DROP TABLE {name}_scan")
    if endless:
        raise DataError(
            f"{where}: row {endless[0][0]} has no end; a quote is opened and never closed, or the "
            "row is longer than a megabyte. Correct the row: those after it cannot be told apart."
        )
    reasons = [_REASONS.get(kind, "is not well-formed CSV") for _, kind in found]
    rows = np.asarray([row for row, _ in found], dtype=np.int64)
    return Rejects(rows, np.asarray(reasons, dtype=np.str_))

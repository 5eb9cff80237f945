"""`LastLines`: the newest lines of a ledger, written beside it before they are added to it.

    <work>/privacy/ledger.last

So a line that a crash or a full disk cut short is known whole and counts, and lines that were
cut off the ledger's end are missed.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from fedehr_client.chained_file import NO_LINE, ChainedLine, parse_line
from fedehr_client.private_file import write_private
from fedehr_shared.errors import DataError


class LastLines:
    """The file beside one ledger."""

    def __init__(self, file: Path, ledger: Path) -> None:
        """`file` lies beside `ledger`."""
        self._file = file
        self._ledger = ledger

    def write(self, lines: Sequence[bytes]) -> None:
        """Replace what is there; it is on the disk when this returns.

        Raises:
            OSError: it cannot be written.
        """
        write_private(self._file, b"".join(line + b"\n" for line in lines))

    def missing_from(self, chain: Sequence[ChainedLine]) -> list[ChainedLine]:
        """The lines that were announced and did not come to stand in the ledger.

        Args:
            chain: the ledger's whole lines.

        Raises:
            DataError: the ledger does not end as it must: it was cut, or another one is in its
                place.
        """
        announced = self._read()
        for known in range(len(announced), 0, -1):
            texts = [line.text for line in announced[:known]]
            if texts == [line.text for line in chain[-known:]]:
                return announced[known:]
        last = chain[-1].digest if chain else NO_LINE
        if (announced[0].previous if announced else NO_LINE) == last:
            return announced
        raise DataError(
            f"{self._ledger} does not end with the lines that {self._file} says were written last: "
            "lines were cut off, or one of the two files was removed or is an older copy. Nothing "
            "is trained or sent with noise until both are put back as they were, or "
            f"{self._file.parent} is moved away and `fedehr-client budget restore` reads a backup."
        )

    def _read(self) -> list[ChainedLine]:
        try:
            texts = self._file.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DataError(
                f"cannot read {self._file}: {error.strerror}. Check its permissions."
            ) from error
        lines = [parse_line(number, text) for number, text in enumerate(texts, start=1)]
        for before, line in pairwise(lines):
            if line.previous != before.digest:
                raise self._damaged()
        if not lines or lines[0].content is None:
            raise self._damaged()
        return lines

    def _damaged(self) -> DataError:
        return DataError(
            f"{self._file} is damaged. Put it and {self._ledger.name} back as they were, or move "
            f"{self._file.parent} away and restore a backup with `fedehr-client budget restore`."
        )

"""`TrainingSubjects`: how many a site has, counted anew when its splits are written again."""

from pathlib import Path

from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import TRAIN


class TrainingSubjects:
    """Counts the train split of one site."""

    def __init__(self, records: Path) -> None:
        """Nothing is read yet."""
        self._file = SiteFolder(records).splits_file
        self._counted: tuple[tuple[int, int], int] | None = None

    def count(self) -> int:
        """How many there are now.

        Raises:
            DataError: the splits cannot be read.
        """
        try:
            status = self._file.stat()
        except OSError as error:
            raise DataError(
                f"cannot read {self._file}: {error.strerror}. Import the records first."
            ) from error
        seen = (status.st_mtime_ns, status.st_size)
        if self._counted is None or self._counted[0] != seen:
            self._counted = (seen, self._read())
        return self._counted[1]

    def _read(self) -> int:
        import pyarrow.compute as pc

        from fedehr_shared.meds.table_file import read_table

        split = read_table(self._file, ["split"]).column("split")
        return int(pc.sum(pc.equal(split, TRAIN)).as_py() or 0)

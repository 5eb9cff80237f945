"""`SourceFolder`: the files of a table, whatever their ending and the case of their names."""

from dataclasses import dataclass
from pathlib import Path

from fedehr_shared.errors import DataError

ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz", ".parquet")


@dataclass(frozen=True)
class SourceFolder:
    """A folder of source tables; only read."""

    path: Path

    def find(self, name: str) -> list[Path]:
        """The files of table `name`, by name: one file, or all of a folder of parts.

        Empty where the source has no such table.

        Raises:
            DataError: the folder is missing, or holds the table twice.
        """
        found = [entry for entry in self._entries() if _table_of(entry) == name.lower()]
        if len(found) > 1:
            names = ", ".join(entry.name for entry in found)
            raise DataError(
                f"{self.path} holds table '{name}' more than once: {names}. Keep one of them."
            )
        if not found:
            return []
        return _parts(found[0]) if found[0].is_dir() else found

    def require(self, name: str) -> list[Path]:
        """The files of a table that must be there.

        Raises:
            DataError: the table is missing or there twice.
        """
        files = self.find(name)
        if not files:
            raise DataError(
                f"table '{name}' is missing: {self.path} holds no {name}.csv, {name}.csv.gz, "
                f"{name}.parquet nor a folder {name} of such parts."
            )
        return files

    def _entries(self) -> list[Path]:
        if not self.path.is_dir():
            raise DataError(f"there is no folder {self.path}. Name the folder with the tables.")
        return sorted(entry for entry in self.path.iterdir() if not entry.name.startswith("."))


def _table_of(entry: Path) -> str | None:
    name = entry.name.lower()
    if entry.is_dir():
        # Spark and DuckDB write a folder of parts under the name of a file.
        return next((name.removesuffix(e) for e in ENDINGS if name.endswith(e)), name)
    return next((name.removesuffix(e) for e in ENDINGS if name.endswith(e)), None)


def _parts(folder: Path) -> list[Path]:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and _is_part(file)]
    if not files:
        raise DataError(f"{folder} holds no parts. Put CSV or Parquet files there.")
    return files


def _is_part(file: Path) -> bool:
    return not file.name.startswith((".", "_")) and file.name.lower().endswith(ENDINGS)

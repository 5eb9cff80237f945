"""`TableSource`: where CDM tables come from, files or a database, one table at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from fedehr_client.importers.engine.csv_file import CsvFormat
from fedehr_client.importers.engine.load import open_table
from fedehr_client.importers.engine.source_folder import SourceFolder
from fedehr_client.importers.engine.table import SourceTable
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.omop import tables
from fedehr_client.importers.omop.address import DatabaseAddress, is_database

_VOCABULARY = (tables.CONCEPT, tables.CONCEPT_RELATIONSHIP, tables.CONCEPT_ANCESTOR)
_TYPES = {
    "integer": "BIGINT",
    "number": "DOUBLE",
    "text": "VARCHAR",
    "time": "TIMESTAMP",
    "date": "DATE",
}


class TableSource(Protocol):
    """A hospital's CDM, only read."""

    def open(self, workspace: Workspace, table: SourceTable) -> bool:
        """Make the view `table.name`; False where the source has no such table.

        Raises:
            DataError: the table is malformed.
        """
        ...


class FolderSource:
    """CSV(.gz) or Parquet files in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = SourceFolder(folder)

    def open(self, workspace: Workspace, table: SourceTable) -> bool:
        """Make the view; see `TableSource`."""
        known = CsvFormat(quotes_tabs=table not in _VOCABULARY)
        return open_table(workspace, table, self._folder.find(table.name), known) is not None


@contextmanager
def open_source(source: str, schemas: tuple[str, ...]) -> Iterator[TableSource]:
    """A folder, or a database that stays open within the context.

    Args:
        source: a path, or a `postgresql://` URL.
        schemas: of the database, in the order in which tables are looked up.

    Raises:
        UsageError: the URL is malformed.
        NetworkError: the database cannot be reached.
    """
    if not is_database(source):
        yield FolderSource(Path(source))
        return
    from fedehr_client.importers.omop.postgres import open_database

    with open_database(DatabaseAddress.parse(source), schemas) as database:
        yield database


def open_or_empty(source: TableSource, workspace: Workspace, table: SourceTable) -> bool:
    """Make the view `table.name`, of no rows where the source lacks the table.

    Returns:
        Whether the source has it.

    Raises:
        DataError: the table is malformed.
    """
    if source.open(workspace, table):
        return True
    columns = ", ".join(f"CAST(NULL AS {_TYPES[c.kind]}) AS {c.name}" for c in table.columns)
    workspace.connection.execute(f"CREATE VIEW {table.name} AS SELECT {columns} WHERE false")
    return False

"""The source's tables: found, opened and joined as a mapping says."""

from pathlib import Path, PurePosixPath

from fedehr_client.importers.csv.columns import ColumnBook
from fedehr_client.importers.csv.mapping import Mapping
from fedehr_client.importers.csv.quoting import quote_name
from fedehr_client.importers.csv.row_scope import lookup_of
from fedehr_client.importers.engine.source_folder import SourceFolder
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_shared.errors import DataError


def find_tables(source: Path, mapping: Mapping) -> dict[str, list[Path]]:
    """The files of each table that the mapping reads and the source has.

    Raises:
        DataError: the folder or required tables are missing.
    """
    found, missing = {}, []
    for name in mapping.table_names():
        section = mapping.table(name)
        path = PurePosixPath(section.file or name)
        folder = source / path.parent
        # Only the source itself must be there: `hosp/labevents` may lack its whole folder.
        is_there = folder == source or folder.is_dir()
        files = SourceFolder(folder).find(path.name) if is_there else []
        if files:
            found[name] = files
        elif section.required:
            missing.append(f"{name} ({path})")
    if missing:
        raise DataError(
            f"{source} lacks the table(s) {', '.join(missing)}, each as .csv, .csv.gz, .parquet or "
            "a folder of such parts. Put them there, mend [tables] in the mapping, or write "
            "required = false."
        )
    return found


def join_tables(workspace: Workspace, book: ColumnBook) -> None:
    """Make the copies that sections join.

    Raises:
        DataError: a key repeats, so that a row would count twice.
    """
    for table, keys in book.keys.items():
        workspace.connection.execute(
            f"""CREATE OR REPLACE TABLE {quote_name(lookup_of(table))} AS
            SELECT DISTINCT * FROM {quote_name(table)}"""
        )
        for key in sorted(keys):
            _check_key(workspace, table, key)


def _check_key(workspace: Workspace, table: str, key: tuple[str, ...]) -> None:
    names = ", ".join(map(quote_name, key))
    filled = " AND ".join(f"{quote_name(name)} IS NOT NULL" for name in key)
    repeated = workspace.connection.execute(
        f"""SELECT count(*) FROM (SELECT 1 FROM {quote_name(lookup_of(table))} WHERE {filled}
            GROUP BY {names} HAVING count(*) > 1)"""
    ).fetchall()[0][0]
    if repeated:
        raise DataError(
            f"table '{table}' is joined by {', '.join(key)}, but {repeated} of its keys stand in "
            "several different rows, which would count events twice. Join by a key that is "
            "unique, or make it so."
        )

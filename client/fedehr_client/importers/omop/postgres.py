"""`Database`: one read-only snapshot of a PostgreSQL database, streamed table by table.

Each table is asked for once, within one transaction; the engine sets its rows aside, so that
the import puts no further load on the hospital's database.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import duckdb
from adbc_driver_manager import dbapi
from adbc_driver_postgresql import StatementOptions
from adbc_driver_postgresql.dbapi import connect

from fedehr_client.importers.engine.load import open_relation
from fedehr_client.importers.engine.table import SourceTable
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.omop.address import DatabaseAddress
from fedehr_client.importers.omop.catalog import find_table, missing_schemas
from fedehr_client.importers.omop.refusal import refused_connection, refused_query
from fedehr_shared.errors import ConfigError, NetworkError

BATCH_BYTES = 4 * 2**20
"""Of the driver's buffers, which DuckDB's limit does not see."""
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_STREAM = "database_stream"


class Database:
    """An open connection; every table is seen as it was when the first was read."""

    def __init__(
        self, connection: dbapi.Connection, address: DatabaseAddress, schemas: tuple[str, ...]
    ) -> None:
        self._connection = connection
        self._address = address
        self._schemas = schemas

    def open(self, workspace: Workspace, table: SourceTable) -> bool:
        """Make the view `table.name`; False where none of the schemas has the table.

        Raises:
            ConfigError: the role may not read the table.
            NetworkError: the connection broke.
            DataError: a column is missing, or the database refused a value.
        """
        with closing(self.cursor()) as cursor:
            try:
                query = find_table(cursor, table, self._schemas)
            except dbapi.Error as error:
                raise refused_query(str(error), error.sqlstate, table.name) from None
            if query is None:
                return False
            self._stream(cursor, query, workspace, table)
        return True

    def cursor(self) -> dbapi.Cursor:
        """A cursor within the snapshot."""
        return self._connection.cursor()

    def check_schemas(self) -> None:
        """See that the schemas exist.

        Raises:
            ConfigError: one does not.
            NetworkError: the connection broke.
        """
        try:
            with closing(self.cursor()) as cursor:
                missing = missing_schemas(cursor, self._schemas)
        except dbapi.Error as error:
            raise refused_connection(str(error), self._address) from None
        if missing:
            raise ConfigError(
                f"the database {self._address} has no schema {', '.join(missing)}. Name the "
                "schema of the CDM tables with --schema."
            )

    def _stream(
        self, cursor: dbapi.Cursor, query: str, workspace: Workspace, table: SourceTable
    ) -> None:
        hint = {StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_BYTES)}
        cursor.adbc_statement.set_options(**hint)
        try:
            cursor.execute(query)
        except dbapi.Error as error:
            raise refused_query(str(error), error.sqlstate, table.name) from None
        with closing(cursor.fetch_record_batch()) as stream:
            workspace.connection.register(_STREAM, stream)
            try:
                open_relation(workspace, table, _STREAM)
            except duckdb.InvalidInputException as error:
                raise refused_query(str(error), None, table.name) from None
            finally:
                workspace.connection.unregister(_STREAM)


@contextmanager
def open_database(address: DatabaseAddress, schemas: tuple[str, ...]) -> Iterator[Database]:
    """Connect, begin a read-only transaction with one snapshot, and check the schemas.

    Raises:
        NetworkError: no connection, or the user is refused.
        ConfigError: there is no such database or schema.
    """
    try:
        connection = connect(address.url)
    except dbapi.Error as error:
        raise refused_connection(str(error), address) from None
    with closing(connection):
        try:
            with closing(connection.cursor()) as cursor:
                cursor.execute(_SNAPSHOT)
        except dbapi.Error:
            raise NetworkError(
                f"the database {address} begins no read-only transaction. Connect to PostgreSQL "
                "itself, or to a pooler in session mode."
            ) from None
        database = Database(connection, address, schemas)
        database.check_schemas()
        yield database

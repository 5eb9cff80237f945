"""`Workspace`: one import's database, within its memory limit and its private folder."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

import duckdb
import pyarrow as pa

from fedehr_client.importers.engine.bad_rows import BadRows
from fedehr_client.importers.engine.database_errors import database_errors
from fedehr_client.importers.engine.interruption import interrupted_by_signals
from fedehr_client.importers.engine.local_time import add_time_functions
from fedehr_client.importers.engine.memory import plan_memory
from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.scratch import scratch_folder

__all__ = ["ImportSettings", "Workspace"]


class Workspace:
    """A context: `with Workspace(settings, beside=out.parent) as workspace`.

    DuckDB errors that leave the context have become `DataError`s without their text.

    Attributes:
        settings: what the command line says.
        connection: a DuckDB in memory, spilling into `temp`; UTC, no network, no extensions.
            SQL may call `end_of_day(DATE)` and `local_to_utc(TIMESTAMP)`.
        bad_rows: rows that broke a rule, by table.
        left_out: rows and events that became nothing, by reason.
        repairs: what was changed on the way, by reason.
        temp: private folder, removed at the end.
    """

    connection: duckdb.DuckDBPyConnection
    temp: Path

    def __init__(self, settings: ImportSettings, *, beside: Path) -> None:
        self.settings = settings
        self.bad_rows = BadRows()
        self.left_out: Counter[str] = Counter()
        self.repairs: Counter[str] = Counter()
        self._beside = beside
        self._stack = ExitStack()
        self._num_files = 0

    def __enter__(self) -> "Workspace":
        """Open the database.

        Raises:
            UsageError: the memory limit is too small, or the time zone is unknown.
            DataError: the temp folder cannot be written.
        """
        with ExitStack() as stack:
            self.temp = stack.enter_context(
                scratch_folder(self.settings.temp_folder or self._beside)
            )
            stack.enter_context(_plain_allocation())
            stack.enter_context(database_errors(self.settings))
            self.connection = stack.enter_context(_connect(self.settings, self.temp))
            stack.enter_context(interrupted_by_signals(self.connection))
            stack.callback(add_time_functions(self.connection, self.settings.timezone))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the database and remove the private folder."""
        self._stack.__exit__(kind, error, trace)

    def new_file(self, name: str) -> Path:
        """A path in `temp` that ends in `name` and is not taken."""
        self._num_files += 1
        return self.temp / f"{self._num_files}-{name}"


@contextmanager
def _plain_allocation() -> Iterator[None]:
    """Arrow's own pool keeps what was freed: 50 MB more at the peak of 10 M events."""
    usual = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(usual)


def _connect(settings: ImportSettings, temp: Path) -> duckdb.DuckDBPyConnection:
    spill = temp / "spill"
    spill.mkdir()
    connection = duckdb.connect(
        ":memory:",
        config={
            "temp_directory": str(spill),
            "preserve_insertion_order": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )
    # Only an open database shows what the process takes without any rows.
    plan = plan_memory(settings.memory_limit_bytes)
    connection.execute(f"SET memory_limit = '{plan.database_bytes}B'")
    connection.execute(f"SET threads = {plan.num_threads}")
    # DuckDB's own bar would write into standard output.
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET TimeZone = 'UTC'")
    return connection

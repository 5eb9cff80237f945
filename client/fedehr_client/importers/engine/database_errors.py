"""DuckDB's errors as ours: its own texts quote records, so none of them is passed on."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_shared.errors import DataError

_INTERRUPTED = "Query interrupted"


@contextmanager
def database_errors(settings: ImportSettings) -> Iterator[None]:
    """Within, an error of DuckDB becomes a `DataError` that names the setting to change.

    Raises:
        DataError: DuckDB ran out of memory or disk, or could not run a query.
    """
    try:
        yield
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except RuntimeError as error:
        # A signal in the middle of a query: DuckDB's Python module puts this in its place.
        if str(error) != _INTERRUPTED:
            raise
        raise KeyboardInterrupt from None
    except duckdb.OutOfMemoryException as error:
        raise DataError(_describe_shortage(settings, str(error))) from None
    except duckdb.Error as error:
        if _is_disk_full(error):
            raise DataError(_describe_disk(settings)) from None
        raise DataError(_describe_query(type(error).__name__)) from None


def streamed_error(settings: ImportSettings, text: str) -> DataError:
    """The same for an error that reached us through an Arrow stream, which has a text alone."""
    kind = text.partition(":")[0].partition(" Error")[0]
    if kind == "Out of Memory":
        return DataError(_describe_shortage(settings, text))
    if any(sign in text.lower() for sign in _DISK_FULL):
        return DataError(_describe_disk(settings))
    return DataError(_describe_query(f"{kind} error" if kind.replace(" ", "").isalpha() else "?"))


def is_about_resources(error: duckdb.Error) -> bool:
    """Whether memory, disk or the user ended a query, and not what it read."""
    kinds = (duckdb.InterruptException, duckdb.OutOfMemoryException)
    return isinstance(error, kinds) or _is_disk_full(error)


def _describe_shortage(settings: ImportSettings, text: str) -> str:
    if "max_temp_directory_size" in text or "temp directory" in text.lower():
        return _describe_disk(settings)
    limit = settings.memory_limit_bytes // 10**6
    return f"the import ran out of its {limit} MB of memory. Raise --memory-limit."


def _describe_disk(settings: ImportSettings) -> str:
    where = f" ({settings.temp_folder})" if settings.temp_folder else ""
    return (
        f"the disk of the temporary folder{where} is full. Free some space, or name another "
        "folder with --temp."
    )


def _describe_query(kind: str) -> str:
    return (
        f"a query over the source tables failed ({kind}). The tables are not what the importer "
        "expects; check them against its documentation, or report it."
    )


_DISK_FULL = ("no space left", "disk quota", "file too large")


def _is_disk_full(error: duckdb.Error) -> bool:
    text = str(error).lower()
    return isinstance(error, duckdb.IOException) and any(sign in text for sign in _DISK_FULL)

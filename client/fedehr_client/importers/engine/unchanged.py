"""A source file that somebody writes while it is read would be imported in part."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedehr_shared.errors import DataError


@contextmanager
def unchanged(file: Path) -> Iterator[None]:
    """Refuse what the block read of `file` where it has changed meanwhile.

    Raises:
        DataError: it has; this goes before a `DataError` of the block.
    """
    before = _state(file)
    try:
        yield
    except DataError:
        _compare(file, before)
        raise
    _compare(file, before)


def _compare(file: Path, before: tuple[int, int] | None) -> None:
    if _state(file) != before:
        raise DataError(
            f"{file} changed while it was read. Import again when it is completely written."
        ) from None


def _state(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns

"""`new_folder`: a folder that is there whole or not at all, and replaces nothing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedehr_shared.errors import UsageError


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder beside `path` that takes its name when the block ends well.

    Raises:
        UsageError: `path` is there already, or cannot be written.
    """
    if os.path.lexists(path):
        raise UsageError(f"{path} exists already. Name a new folder.")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        for file in [*partial.rglob("*"), partial]:
            _sync(file)
        partial.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}. Name a new folder.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

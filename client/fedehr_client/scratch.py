"""A private folder for spill files, which hold records: locked, removed, swept if left over."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder_lock import try_lock_folder

_PREFIX = ".fedehr-scratch-"


@contextmanager
def scratch_folder(parent: Path | None) -> Iterator[Path]:
    """Yield a new folder under `parent` (None: the system's) that only this user can read; remove
    it at the end.

    Folders left by processes that were killed are removed first; that of a running one is locked
    and stays.

    Raises:
        DataError: `parent` cannot be written.
    """
    parent = parent or Path(tempfile.gettempdir())
    with ExitStack() as stack:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            sweep(parent)
            folder = _make_locked(parent, stack)
        except OSError as error:
            raise DataError(
                f"cannot write temporary files under {parent} ({error.strerror}). "
                "Name another folder with --temp."
            ) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _make_locked(parent: Path, stack: ExitStack) -> Path:
    # Between making and locking, another process may take the folder for a leftover.
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        if stack.enter_context(try_lock_folder(folder)):
            return folder


def sweep(parent: Path) -> None:
    """Remove what processes that were killed left under `parent`; running ones keep theirs."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with try_lock_folder(folder) as locked:
            if locked:
                shutil.rmtree(folder, ignore_errors=True)

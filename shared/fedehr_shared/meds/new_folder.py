"""Folders that appear under their name only when complete, and replace one in one step."""

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder_lock import try_lock_folder

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a private folder beside `path` that takes its name when the block ends well.

    Only this user may read it, as records deserve; a folder that is replaced passes its mode
    on. The private folder is locked while the block runs; what a killed run left there is
    removed. With `replace` an existing folder keeps its name until the new one takes it. Where
    `path` is a symbolic link, all this is about what it points to, and the link stays.

    Raises:
        DataError: `path` exists already and is not to be replaced, cannot be written, or another
            process is writing it.
    """
    path = Path(os.path.realpath(path))
    partial = _make_partial(path)
    with try_lock_folder(partial) as locked:
        if not locked:
            raise DataError(
                f"another process is writing {path}. Wait for it to end, or name another folder."
            )
        try:
            _recover(path)
            _check_free(path, replace)
            _empty(partial)
            yield partial
            _sync_tree(partial)
            _take_name(partial, path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


@contextmanager
def undisturbed(path: Path) -> Iterator[None]:
    """Keep writers of the folder `path`, or of what it links to, away while the block runs.

    What killed ones left beside it, which holds records too, is removed.

    Raises:
        DataError: another process is writing it.
    """
    path = Path(os.path.realpath(path))
    if not os.access(path.parent, os.W_OK):
        # Nobody like us can write a new folder there, either.
        yield
        return
    partial = _make_partial(path)
    with try_lock_folder(partial) as locked:
        if not locked:
            raise DataError(f"another process is writing {path}. Repeat when it has ended.")
        try:
            _recover(path)
            yield
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _make_partial(path: Path) -> Path:
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot write the folder {path} ({error.strerror}). Name another folder."
        ) from None
    return partial


def _check_free(path: Path, replace: bool) -> None:
    if os.path.lexists(path) and not replace:
        raise DataError(f"{path} exists already. Name a new folder, or remove it first.")


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _recover(path: Path) -> None:
    """Finish or undo a replacement that was killed between its two renames."""
    old = _aside(path)
    if old.is_dir() and path.exists():
        shutil.rmtree(old)
    elif old.is_dir():
        old.rename(path)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _take_name(partial: Path, path: Path) -> None:
    if not path.exists():
        partial.rename(path)
        _sync(path.parent)
        return
    partial.chmod(path.stat().st_mode)
    if _exchange(partial, path):
        # The new name is on the disk before the old records go.
        _sync(path.parent)
        shutil.rmtree(partial)
    else:
        old = _aside(path)
        path.rename(old)
        partial.rename(path)
        shutil.rmtree(old)
    _sync(path.parent)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step, so that a crash leaves either; False where that cannot be."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    done = rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return bool(done == 0)


def _sync_tree(folder: Path) -> None:
    for entry in (*folder.rglob("*"), folder):
        _sync(entry)


def _sync(entry: Path) -> None:
    descriptor = os.open(entry, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""`require_room`: whether a disk takes so many bytes, before work that would be lost without."""

import errno
import os
from pathlib import Path

from fedehr_shared.errors import DataError, StorageError
from fedehr_shared.full_disk import is_full

_CANNOT_SAY = frozenset({errno.EINVAL, errno.ENODEV, errno.ENOSYS, errno.EOPNOTSUPP})


def require_room(folder: Path, num_bytes: int) -> None:
    """Take the room for a moment, which tells of quotas too, and give it back.

    A file system that cannot say is believed to have it; writing then tells.

    Args:
        folder: below which is to be written; made where there is none.
        num_bytes: how much.

    Raises:
        StorageError: there is less.
        DataError: the folder cannot be written.
    """
    file = folder / f".room.{os.getpid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Nothing of it stays, whatever ends this process.
            file.unlink()
            os.posix_fallocate(descriptor, 0, max(1, num_bytes))
        finally:
            os.close(descriptor)
    except OSError as error:
        if is_full(error):
            raise StorageError(_too_little(folder, num_bytes)) from error
        if error.errno not in _CANNOT_SAY:
            raise DataError(
                f"cannot write below {folder}: {error.strerror}. Mend its permissions."
            ) from error


def _too_little(folder: Path, num_bytes: int) -> str:
    state = os.statvfs(folder)
    free = state.f_bavail * state.f_frsize
    return (
        f"{num_bytes:,} bytes are needed below {folder}, and its disk has {free:,} free. Make room "
        "there, or raise the account's quota."
    )

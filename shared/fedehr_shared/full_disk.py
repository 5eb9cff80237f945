"""`as_storage`: an error that a full disk has caused, under that name."""

import errno
import os
import re

from fedehr_shared.errors import FedehrError, StorageError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_CODE_IN_TEXT = re.compile(r"\(os error (\d+)\)")
"""How libraries written in Rust tell of an error of the system: they give no number."""


def is_full(error: BaseException) -> bool:
    """Whether the system said that there is no room, or no quota, for what was to be written."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    told = _CODE_IN_TEXT.search(str(error))
    return told is not None and int(told[1]) in _FULL


def as_storage(error: Exception) -> Exception:
    """A `StorageError` in place of an error that a full disk has caused; any other as it is.

    Whoever was writing says what failed, where and what to do, whatever kept it from writing. An
    error of another's making is not quoted.
    """
    if isinstance(error, StorageError):
        return error
    found: BaseException | None = error
    while found is not None and not is_full(found):
        found = found.__cause__
    if found is None:
        return error
    if isinstance(error, FedehrError):
        return StorageError(str(error))
    number = found.errno if isinstance(found, OSError) and found.errno else errno.ENOSPC
    return StorageError(f"{os.strerror(number)}. Make room where the node writes.")

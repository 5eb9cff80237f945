"""A full disk is told from other faults, whoever was writing; nothing of another's text travels."""

import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from fedehr_shared.errors import DataError, StorageError
from fedehr_shared.full_disk import as_storage

FULL = Path("/dev/full")
RARE = "rare code of subject 4711"


def _fails(write: Callable[[], object]) -> Exception:
    with pytest.raises((OSError, SafetensorError)) as raised:
        write()
    return raised.value


def _wrapped(error: Exception) -> Exception:
    try:
        raise DataError("cannot write the outbox. Free the disk.") from error
    except DataError as wrapped:
        return wrapped


def test_a_disk_without_room_is_found_behind_what_was_said_of_it() -> None:
    error = _fails(lambda: FULL.write_bytes(b"x"))
    told = as_storage(_wrapped(error))
    assert isinstance(told, StorageError)
    assert str(told) == "cannot write the outbox. Free the disk."
    assert isinstance(as_storage(error), StorageError)


def test_so_is_one_that_a_library_writes_to(small_disk: Callable[[int], Path]) -> None:
    file = small_disk(2**16) / "x.safetensors"
    error = _fails(lambda: save_file({"x": np.ones(2**16, dtype=np.float32)}, file))
    assert isinstance(as_storage(_wrapped(error)), StorageError)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_of_an_error_that_is_not_ours_nothing_is_quoted(number: int) -> None:
    told = as_storage(OSError(number, RARE, RARE))
    assert isinstance(told, StorageError)
    assert "rare" not in str(told)


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "no"), DataError("damaged"), ValueError("full"),
        SafetensorError("I/O error: Permission denied (os error 13)"), OSError("no number"),
    ],
    ids=str,
)  # fmt: skip
def test_other_faults_stay_what_they_are(error: Exception) -> None:
    assert as_storage(error) is error
    wrapped = _wrapped(error)
    assert as_storage(wrapped) is wrapped

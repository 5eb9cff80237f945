"""Weights as one safetensors file that its owner alone may read."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from fedehr_shared.errors import DataError, UsageError
from fedehr_shared.wire.payload import Arrays


def check_new_file(file: Path) -> None:
    """Refuse, before hours of training, what could not be written after them.

    Raises:
        UsageError: the file exists already.
        DataError: its folder is missing or not writable.
    """
    if file.exists():
        raise UsageError(f"{file} exists already. Name a new file, or remove it first.")
    if not os.access(file.absolute().parent, os.W_OK | os.X_OK):
        raise DataError(f"cannot write into {file.absolute().parent}. Name another folder.")


def write_weights(file: Path, weights: Arrays, about: Mapping[str, str]) -> None:
    """Write it whole or not at all: weights tell of the records that they were trained on.

    Args:
        file: a new file.
        weights: by name.
        about: kept in the file's header.

    Raises:
        DataError: it cannot be written.
    """
    ordered = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(save(ordered, metadata=dict(about)))
            opened.flush()
            os.fsync(opened.fileno())
        partial.rename(file)
    except OSError as error:
        raise DataError(
            f"cannot write {file}: {error.strerror}. Free the disk or name another folder."
        ) from error
    finally:
        partial.unlink(missing_ok=True)

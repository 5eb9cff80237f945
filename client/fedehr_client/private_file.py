"""`write_private`: a file of the owner's alone, whole or not at all."""

import os
from pathlib import Path


def write_private(file: Path, *content: bytes | memoryview) -> None:
    """Replace `file` by these bytes, one part after the other, without joining them in memory;
    it is on the disk, and so is its name, when this returns.

    One process at a time: what a killed one left half written is written over.

    Raises:
        OSError: it cannot be written; then it is as it was.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = file.with_name(f".partial.{file.name}")
    partial.unlink(missing_ok=True)
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as stream:
            for part in content:
                stream.write(part)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk.

    Raises:
        OSError: they cannot be written.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

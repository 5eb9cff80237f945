"""Files that their owner alone may read, from the moment that they exist."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def private_opener(path: str, flags: int) -> int:
    """For `open(..., opener=private_opener)`: mode 0600, whatever the umask."""
    return os.open(path, flags, 0o600)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A private file to write, which takes the place of `path` whole or not at all."""
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    with open(partial, "wb", opener=private_opener) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)

"""One array of a token store: a `.npy` file that is written as it comes and checked whole."""

import os
import zlib
from dataclasses import dataclass
from io import FileIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_HEADER_BYTES = 128
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class FileRecord:
    """What the manifest says of an array file.

    Attributes:
        dtype: NumPy's name of the kind, with its byte order.
        num_items: its length.
        num_bytes: the file's size.
        crc32: of the items' bytes, in hexadecimal. The header follows from the rest.
    """

    dtype: str
    num_items: int
    num_bytes: int
    crc32: str


class ArrayWriter:
    """Appends to one array; the header is written last, when the length is known."""

    def __init__(self, file: FileIO, dtype: str) -> None:
        self._file = file
        self._dtype = np.dtype(dtype)
        self._num_items = 0
        self._checksum = 0
        file.seek(_HEADER_BYTES)

    def append(self, items: NDArray[Any]) -> None:
        """Write `[n]` more items."""
        content = np.ascontiguousarray(items, dtype=self._dtype).view(np.uint8).data
        self._checksum = zlib.crc32(content, self._checksum)
        self._num_items += items.size
        while content:
            content = content[self._file.write(content) :]

    def finish(self) -> FileRecord:
        """Write the header."""
        self._file.seek(0)
        self._file.write(_header(self._dtype, self._num_items))
        _intact.add(_stamp(self._file))
        return FileRecord(
            dtype=self._dtype.str,
            num_items=self._num_items,
            num_bytes=_HEADER_BYTES + self._num_items * self._dtype.itemsize,
            crc32=f"{self._checksum:08x}",
        )


def is_intact(file: BinaryIO, record: FileRecord) -> bool:
    """Whether every byte of the file is as it was written.

    A process reads a file once for this, and not at all when it has written it itself.
    """
    stamp = _stamp(file)
    if stamp not in _intact and _has_checksum(file, record):
        _intact.add(stamp)
    return stamp in _intact


_intact: set[tuple[int, int, int, int]] = set()
"""The files that this process wrote or found intact: device, inode, size, time of change."""


def _stamp(file: BinaryIO) -> tuple[int, int, int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _has_checksum(file: BinaryIO, record: FileRecord) -> bool:
    file.seek(0)
    if file.read(_HEADER_BYTES) != _header(np.dtype(record.dtype), record.num_items):
        return False
    checksum = 0
    piece = bytearray(_PIECE_BYTES)
    while num := file.readinto(piece):  # type: ignore[attr-defined]
        checksum = zlib.crc32(memoryview(piece)[:num], checksum)
    return f"{checksum:08x}" == record.crc32


def map_array(file: BinaryIO, record: FileRecord) -> NDArray[Any]:
    """The array, read from the file when it is touched."""
    dtype = np.dtype(record.dtype)
    if record.num_items == 0:
        return np.empty(0, dtype=dtype)
    mapped = np.memmap(file, dtype, "r", offset=_HEADER_BYTES, shape=(record.num_items,))
    # A memmap's slices are costly; a plain view of it is not.
    return np.asarray(mapped)


def _header(dtype: np.dtype[Any], num_items: int) -> bytes:
    """The header of version 1.0 of the `.npy` format, padded to a fixed length.

    Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
    """
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': ({num_items},), }}"
    magic = b"\x93NUMPY\x01\x00" + (_HEADER_BYTES - 10).to_bytes(2, "little")
    return magic + text.ljust(_HEADER_BYTES - 11).encode("ascii") + b"\n"

"""Byte planes: a block's first bytes, its second ones and so on, each packed with zstd if it pays.

In trained weights the bytes that hold sign and exponent repeat themselves and those below do not.
Apart, the former shrink by a third and the latter cost no time.
"""

import struct
from functools import cache

import numpy as np
import pyarrow as pa

from fedehr_shared.wire.codec.conversion import Bytes, UnfitTensorError

_LENGTH = struct.Struct("<I")
_LEVEL = 1
"""Level 3 makes them no smaller and takes half as long again."""
_SAMPLE_BYTES = 4096
_WORTH = 0.97
"""A plane that shrinks less is stored as it is."""


def pack_block(block: Bytes, width: int) -> bytes:
    """The planes of a block of elements `width` bytes wide, each with its length before it.

    A plane of the length that it has unpacked is stored as it is.
    """
    parts: list[bytes] = []
    for plane in _planes(block, width):
        stored = _packed(plane)
        parts += [_LENGTH.pack(len(stored)), stored]
    return b"".join(parts)


def unpack_block(data: memoryview, num_elements: int, width: int) -> tuple[Bytes, int]:
    """The block at the begin of `data`, and how many bytes of `data` it took.

    No more is allocated than the block's size, whatever the data say.

    Raises:
        UnfitTensorError: the data are no such block.
    """
    planes = np.empty((width, num_elements), np.uint8)
    at = 0
    for plane in planes:
        if len(data) < at + _LENGTH.size:
            raise UnfitTensorError("ends too early")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if length > num_elements or length > len(data) - at:
            raise UnfitTensorError("has a part that is longer than it may be")
        plane[:] = _unpacked(data[at : at + length], num_elements)
        at += length
    if width == 1:
        return planes[0], at
    return np.ascontiguousarray(planes.T).reshape(-1), at


def _planes(block: Bytes, width: int) -> list[Bytes]:
    if width == 1:
        return [block]
    return [np.ascontiguousarray(block[first::width]) for first in range(width)]


def _packed(plane: Bytes) -> bytes:
    plain = plane.tobytes()
    # Most of a large model does not shrink: a sample tells at a thirtieth of the cost.
    sample = plain[:_SAMPLE_BYTES]
    if len(_codec().compress(sample, asbytes=True)) > _WORTH * len(sample):
        return plain
    packed: bytes = _codec().compress(plain, asbytes=True)
    return packed if len(packed) <= _WORTH * len(plain) else plain


def _unpacked(stored: memoryview, num_bytes: int) -> Bytes:
    if len(stored) == num_bytes:
        return np.frombuffer(stored, np.uint8)
    try:
        unpacked = _codec().decompress(pa.py_buffer(stored), num_bytes)
    except (OSError, ValueError) as error:
        raise UnfitTensorError("is packed in a way that zstd cannot read") from error
    found: Bytes = np.frombuffer(unpacked, np.uint8)
    if found.size != num_bytes:
        raise UnfitTensorError("is packed in a way that zstd cannot read")
    return found


@cache
def _codec() -> pa.Codec:
    return pa.Codec("zstd", compression_level=_LEVEL)

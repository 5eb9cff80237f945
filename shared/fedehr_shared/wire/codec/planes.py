"""Byte planes: a block's first bytes, its second ones and so on, each packed with zstd if it pays.

In trained weights the bytes that hold sign and exponent repeat themselves and those below do not.
Apart, the former shrink by a third and the latter cost no time.
"""

import struct
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import pyarrow as pa

from fedehr_shared.wire.codec.conversion import Bytes, UnfitTensorError

_LENGTH = struct.Struct("<I")
_LEVEL = 1
"""Level 3 makes them no smaller and takes half as long again."""
_UNSIGNED = {2: np.uint16, 4: np.uint32}
_WORTH = 0.97
"""A plane that shrinks less is stored as it is."""


def pack_block(block: Bytes, width: int) -> Iterator[bytes | memoryview]:
    """The planes of a block of elements `width` bytes wide, each with its length before it.

    A plane of the length that it has unpacked is stored as it is.
    """
    for plane in _split(block, width):
        stored = _packed(plane)
        yield _LENGTH.pack(len(stored))
        yield stored


def unpack_block(data: memoryview, num_elements: int, width: int) -> tuple[Bytes, int]:
    """The block at the begin of `data`, and how many bytes of `data` it took.

    No more is allocated than the block's size, whatever the data say.

    Raises:
        UnfitTensorError: the data are no such block.
    """
    planes: list[Bytes] = []
    at = 0
    for _ in range(width):
        if len(data) < at + _LENGTH.size:
            raise UnfitTensorError("ends too early")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if length > num_elements or length > len(data) - at:
            raise UnfitTensorError("has a part that is longer than it may be")
        planes.append(_unpacked(data[at : at + length], num_elements))
        at += length
    return _joined(planes), at


def require_canonical(block: Bytes, width: int, stored: memoryview) -> None:
    """Compare a block's planes with those that `pack_block` makes of it.

    Raises:
        UnfitTensorError: they differ: a frame can hold more than what it unpacks to.
    """
    at = 0
    for part in pack_block(block, width):
        if stored[at : at + len(part)] != part:
            raise UnfitTensorError("is packed in another way than by fedehr")
        at += len(part)


def _split(block: Bytes, width: int) -> Iterator[Bytes]:
    """Whole elements shifted: a third of what copying every other byte costs."""
    if width == 1:
        yield block
        return
    elements = block.view(_UNSIGNED[width])
    for number in range(width):
        yield (elements >> (8 * number)).astype(np.uint8)


def _joined(planes: Sequence[Bytes]) -> Bytes:
    if len(planes) == 1:
        return planes[0]
    elements = planes[-1].astype(_UNSIGNED[len(planes)])
    for plane in reversed(planes[:-1]):
        elements <<= 8
        elements |= plane
    return elements.view(np.uint8)


def _packed(plane: Bytes) -> bytes | memoryview:
    packed: bytes = _codec().compress(plane, asbytes=True)
    return packed if len(packed) <= _WORTH * plane.size else plane.data


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

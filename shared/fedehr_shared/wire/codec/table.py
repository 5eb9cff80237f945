"""The head of a record: what it is, and what each of its tensors is."""

import struct
import zlib
from collections.abc import Mapping, Sequence

from fedehr_shared.config.exchange import WireDtype
from fedehr_shared.errors import WireError
from fedehr_shared.wire.codec.entry import Entry

MAGIC = b"fedehr\x00T"
VERSION = 1
_HEAD = struct.Struct("<8sHII")
_CHECKSUM = struct.Struct("<I")

MOST_EXPANSION = 16
FREE_BYTES = 1 << 24
"""Decoded, a record takes `FREE_BYTES` and `MOST_EXPANSION` times its own size at most. What a
tensor's packing would lift above it is sent unpacked."""
MOST_TENSORS = 1 << 16
"""A table of empty tensors takes seconds to read, and many times its own size in memory."""


def may_expand(num_decoded_bytes: int, num_stored_bytes: int) -> bool:
    """Whether a record of so many bytes may hold so many bytes of float32."""
    return num_decoded_bytes <= FREE_BYTES + MOST_EXPANSION * num_stored_bytes


def pack_table(entries: Sequence[Entry]) -> bytes:
    """The head of a record with these tensors, whose bodies follow in the same order."""
    table = b"".join(entry.pack() for entry in entries)
    head = _HEAD.pack(MAGIC, VERSION, len(entries), len(table)) + table
    return head + _CHECKSUM.pack(zlib.crc32(head))


def unpack_table(data: memoryview) -> tuple[list[Entry], int]:
    """The tensors of a record, and where their bodies begin; nothing large is allocated.

    Raises:
        WireError: the head is damaged, or it does not fit the data.
    """
    if len(data) < _HEAD.size:
        raise WireError("a record of tensors ends too early. It was not read.")
    magic, version, num_tensors, num_table_bytes = _HEAD.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise WireError("a record is not tensors of this version. Use the same fedehr version.")
    if num_tensors > MOST_TENSORS:
        raise WireError(f"a record declares {num_tensors} tensors, more than any model has.")
    end = _HEAD.size + num_table_bytes
    if len(data) < end + _CHECKSUM.size:
        raise WireError("a record of tensors ends too early. It was not read.")
    if _CHECKSUM.unpack_from(data, end) != (zlib.crc32(data[:end]),):
        raise WireError("the checksum of a record's table of tensors is wrong. It was not read.")
    entries = _entries(data[_HEAD.size : end], num_tensors)
    _check_sizes(entries, len(data), end + _CHECKSUM.size)
    return entries, end + _CHECKSUM.size


def check_expected(
    entries: Sequence[Entry],
    shapes: Mapping[str, tuple[int, ...]] | None,
    dtype: WireDtype | None,
) -> None:
    """Refuse other names, shapes or dtypes than these; None: any.

    Raises:
        WireError: naming the tensor.
    """
    if shapes is not None and {entry.name for entry in entries} != set(shapes):
        odd = sorted({entry.name for entry in entries} ^ set(shapes))
        raise WireError(f"tensors missing or unknown: {odd[:5]}. Use the same fedehr version.")
    for entry in entries:
        if shapes is not None and entry.shape != tuple(shapes[entry.name]):
            raise WireError(
                f"tensor {entry.name} is of shape {entry.shape}, not {shapes[entry.name]}. "
                "Use the same fedehr version."
            )
        if dtype is not None and entry.dtype != dtype:
            raise WireError(f"tensor {entry.name} came as {entry.dtype}, the study says {dtype}.")


def _entries(table: memoryview, num_tensors: int) -> list[Entry]:
    entries: list[Entry] = []
    at = 0
    for _ in range(num_tensors):
        entry, at = Entry.unpack(table, at)
        entries.append(entry)
    if at != len(table):
        raise WireError("a record's table of tensors is damaged. It was not read.")
    if len({entry.name for entry in entries}) != len(entries):
        raise WireError("a record names a tensor twice. It was not read.")
    return entries


def _check_sizes(entries: Sequence[Entry], num_bytes: int, num_head_bytes: int) -> None:
    for entry in entries:
        if not entry.is_packed and entry.num_stored_bytes != entry.num_plain_bytes:
            raise WireError(f"tensor {entry.name} has not the bytes that its shape needs.")
    if num_head_bytes + sum(entry.num_stored_bytes for entry in entries) != num_bytes:
        raise WireError("a record of tensors is cut off, or something follows it.")
    if not may_expand(sum(4 * entry.num_elements for entry in entries), num_bytes):
        raise WireError("a record declares far more than it holds. Nothing was allocated.")

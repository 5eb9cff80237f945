"""`Frame`: what travels between a node's worker and the process that computes.

    4 bytes   mark
    4 bytes   length of the header, little-endian
    8 bytes   length of the tensors
    header    JSON: kind, values, and the names and lengths of the tensors' records
    tensors   as encoded, one after the other

Both lengths are bounded, every value's kind is checked, and nothing is ever unpickled: neither
end trusts the other.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from fedehr_shared.errors import ComputeError
from fedehr_shared.wire.payload import Payload, Values

MARK = b"FDH1"
PREFIX_BYTES = 16
MOST_HEADER_BYTES = 2**28
"""A vocabulary of a million codes is a tenth of it."""
MOST_TENSOR_BYTES = 2**33
"""The largest model in fp32 with its moments is a quarter of it."""
_PIECE_BYTES = 2**20
_PREFIX = struct.Struct("<4sIQ")


class FrameError(ComputeError):
    """What came is no frame."""


@dataclass(frozen=True)
class Frame:
    """One message: what it is, and a payload."""

    kind: str
    payload: Payload = field(default_factory=Payload)

    def parts(self) -> list[bytes]:
        """The bytes to be written, one part after the other.

        Raises:
            FrameError: it is larger than a frame may be.
        """
        payload = self.payload
        lengths = [[name, len(record)] for name, record in payload.tensors.items()]
        about = {"kind": self.kind, "values": payload.values, "tensors": lengths}
        header = json.dumps(about).encode()
        num_bytes = sum(len(record) for record in payload.tensors.values())
        _require_lengths(len(header), num_bytes)
        return [_PREFIX.pack(MARK, len(header), num_bytes), header, *payload.tensors.values()]


def read_frame(read_some: Callable[[int], bytes]) -> Frame:
    """One frame.

    Args:
        read_some: gives at least one byte and at most so many.

    Raises:
        FrameError: what comes is no frame.
    """

    def read(num_bytes: int) -> bytes:
        """Memory is taken as the bytes come, not as they are announced."""
        found = BytesIO()
        while (left := num_bytes - found.tell()) > 0:
            found.write(read_some(min(left, _PIECE_BYTES)))
        return found.getvalue()

    mark, header_bytes, tensor_bytes = _PREFIX.unpack(read(PREFIX_BYTES))
    if mark != MARK:
        raise FrameError("what came does not begin as a frame does.")
    _require_lengths(header_bytes, tensor_bytes)
    try:
        about = json.loads(read(header_bytes))
    except (ValueError, RecursionError):
        raise FrameError("a frame's header is no JSON.") from None
    kind, values, lengths = _checked(about)
    if sum(length for _, length in lengths) != tensor_bytes:
        raise FrameError("a frame's tensors have other lengths than its header names.")
    return Frame(kind, Payload({name: read(length) for name, length in lengths}, values))


def _require_lengths(header_bytes: int, tensor_bytes: int) -> None:
    if header_bytes > MOST_HEADER_BYTES or tensor_bytes > MOST_TENSOR_BYTES:
        raise FrameError(
            f"a frame of {header_bytes:,} bytes of header and {tensor_bytes:,} of tensors is too "
            f"large: {MOST_HEADER_BYTES:,} and {MOST_TENSOR_BYTES:,} are the most."
        )


def _checked(about: Any) -> tuple[str, dict[str, Values], list[tuple[str, int]]]:
    if not isinstance(about, dict) or set(about) != {"kind", "values", "tensors"}:
        raise FrameError("a frame's header has other keys than it should.")
    kind, values, tensors = about["kind"], about["values"], about["tensors"]
    if not (isinstance(kind, str) and isinstance(values, dict) and isinstance(tensors, list)):
        raise FrameError("a frame's header has values of other kinds than it should.")
    if not all(isinstance(record, dict) for record in values.values()):
        raise FrameError("a record of values in a frame is none.")
    if not all(_is_value(value) for record in values.values() for value in record.values()):
        raise FrameError("a value in a frame is neither a number, a string nor a list of them.")
    if not all(_is_length(entry) for entry in tensors):
        raise FrameError("a frame names a record of tensors without its length.")
    lengths = [(name, length) for name, length in tensors]
    if len({name for name, _ in lengths}) != len(lengths):
        raise FrameError("a frame names a record of tensors twice.")
    return kind, values, lengths


def _is_value(value: object) -> bool:
    return _is_plain(value) or (isinstance(value, list) and all(map(_is_plain, value)))


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int | float | str)


def _is_length(entry: object) -> bool:
    if not (isinstance(entry, list) and len(entry) == 2):
        return False
    name, length = entry
    return isinstance(name, str) and type(length) is int and length >= 0

"""`Entry`: what a record's table says of one tensor."""

import math
import struct
from dataclasses import dataclass

from fedehr_shared.config.exchange import WireDtype
from fedehr_shared.errors import WireError
from fedehr_shared.wire.codec.brain import Brain
from fedehr_shared.wire.codec.byte import Byte
from fedehr_shared.wire.codec.conversion import Conversion
from fedehr_shared.wire.codec.half import Half
from fedehr_shared.wire.codec.single import Single

CONVERSIONS: dict[WireDtype, Conversion] = {
    "fp32": Single(), "bf16": Brain(), "fp16": Half(), "int8": Byte(),
}  # fmt: skip
_DTYPES: dict[int, WireDtype] = {1: "fp32", 2: "bf16", 3: "fp16", 4: "int8"}
_NUMBERS = {dtype: number for number, dtype in _DTYPES.items()}

_FIRST = struct.Struct("<H")
_SECOND = struct.Struct("<BBB")
_LAST = struct.Struct("<QI")
_PLAIN, _PACKED = 0, 1
_MOST_NAME_BYTES = 500
_MOST_DIMENSIONS = 32
_MOST_ELEMENTS = 1 << 40
"""Also where a size is zero and the others are not: NumPy refuses such shapes too."""


@dataclass(frozen=True)
class Entry:
    """One tensor of a record.

    Attributes:
        name: printable, unique in its record.
        dtype: on the wire.
        is_packed: whether its elements are in byte planes with zstd.
        shape: sizes by dimension; none for a single number.
        num_stored_bytes: of its body.
        checksum: CRC-32 of its body.
    """

    name: str
    dtype: WireDtype
    is_packed: bool
    shape: tuple[int, ...]
    num_stored_bytes: int = 0
    checksum: int = 0

    @property
    def num_elements(self) -> int:
        """Of the whole tensor."""
        return math.prod(self.shape)

    @property
    def conversion(self) -> Conversion:
        """Of its dtype."""
        return CONVERSIONS[self.dtype]

    @property
    def num_plain_bytes(self) -> int:
        """Of its body, were it not packed."""
        prefix = self.conversion.num_prefix_bytes(self.num_elements)
        return prefix + self.num_elements * self.conversion.width

    def check(self) -> None:
        """Say whether there may be such a tensor.

        Raises:
            WireError: its name or shape is none that travels.
        """
        try:
            num_name_bytes = len(self.name.encode())
        except UnicodeEncodeError:
            num_name_bytes = 0
        if not 0 < num_name_bytes <= _MOST_NAME_BYTES or not self.name.isprintable():
            raise WireError("a tensor's name is empty, too long or not printable.")
        sizes = [max(1, size) for size in self.shape]
        if len(sizes) > _MOST_DIMENSIONS or math.prod(sizes) > _MOST_ELEMENTS:
            raise WireError(f"tensor {self.name} is larger than any model's. It was not read.")

    def pack(self) -> bytes:
        """Its part of the table. The same number of bytes whatever the body is."""
        name = self.name.encode()
        return b"".join(
            (
                _FIRST.pack(len(name)),
                name,
                _SECOND.pack(
                    _NUMBERS[self.dtype], _PACKED if self.is_packed else _PLAIN, len(self.shape)
                ),
                struct.pack(f"<{len(self.shape)}Q", *self.shape),
                _LAST.pack(self.num_stored_bytes, self.checksum),
            )
        )

    @classmethod
    def unpack(cls, table: memoryview, at: int) -> tuple["Entry", int]:
        """The entry at a place of the table, and the place after it.

        Raises:
            WireError: there is no entry that `pack` makes.
        """
        try:
            (num_name_bytes,) = _FIRST.unpack_from(table, at)
            at += _FIRST.size
            name = bytes(table[at : at + num_name_bytes]).decode()
            at += num_name_bytes
            number, packing, num_dimensions = _SECOND.unpack_from(table, at)
            at += _SECOND.size
            shape = struct.unpack_from(f"<{num_dimensions}Q", table, at)
            at += 8 * num_dimensions
            num_stored_bytes, checksum = _LAST.unpack_from(table, at)
        except (struct.error, UnicodeDecodeError) as error:
            raise WireError("a record's table of tensors is damaged. It was not read.") from error
        if number not in _DTYPES or packing not in {_PLAIN, _PACKED}:
            raise WireError(f"tensor {name[:80]!r} has a dtype or packing that nobody knows.")
        dtype = _DTYPES[number]
        entry = cls(name, dtype, packing == _PACKED, shape, num_stored_bytes, checksum)
        entry.check()
        return entry, at + _LAST.size

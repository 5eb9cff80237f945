"""fp16, scaled by a power of two a tensor, so that its largest element is near the range's end.

A half has 5 bits of exponent: below 6e-5 it loses precision, below 3e-8 all of it, and a round's
update may lie there whole. Scaled, what lies within 2^-29 of the largest element keeps all
11 bits. The power of two itself costs no bit.

Encoding, PyTorch converts by the processor's own instruction, twelve times as quick as NumPy.
Decoding needs no PyTorch: a site's node, which looks at what leaves, never loads it.
"""

import struct

import numpy as np

from fedehr_shared.wire.codec.conversion import (
    BLOCK_ELEMENTS,
    Bytes,
    Floats,
    UnfitTensorError,
)

_EXPONENT = struct.Struct("<h")
_LEAST_EXPONENT, _GREATEST_EXPONENT = -113, 126
"""Those of the greatest float32, and the greatest whose inverse is a normal float32."""
_TOP = 15
"""The largest element, once it is rounded, goes between 2^14 and 2^15."""
_LARGEST = 2.0**128 * (1 - 2.0**-11)
"""Rounded to 11 bits, what is above would be no float32 any more."""
_HALF_EXPONENT = np.int16(0x7C00)
_SIGN_AND_HALF = np.int32(-0x7000_2000)
"""Of a half's bits, moved up by 13: its sign at the top, its exponent and mantissa below."""
_BIAS = np.float32(2.0**112)
"""Between the exponents of a half and of a float32."""


class Half:
    """11 bits of precision, and a scale for the tensor."""

    width = 2

    def num_prefix_bytes(self, num_elements: int) -> int:
        """The exponent."""
        return _EXPONENT.size

    def writer(self, elements: Floats, generator: np.random.Generator | None) -> "_Writer":
        """Encode `elements`."""
        return _Writer(elements)

    def reader(self, prefix: bytes, num_elements: int) -> "_Reader":
        """Decode."""
        (exponent,) = _EXPONENT.unpack(prefix)
        if not _LEAST_EXPONENT <= exponent <= _GREATEST_EXPONENT:
            raise UnfitTensorError("has a scale beyond all bounds")
        return _Reader(exponent)


class _Writer:
    def __init__(self, elements: Floats) -> None:
        largest = max(float(elements.max(initial=0)), -float(elements.min(initial=0)))
        if not np.isfinite(largest):
            raise UnfitTensorError("holds NaN or infinity")
        fitting = _TOP - _exponent_of(largest) if largest else 0
        self._exponent = min(max(fitting, _LEAST_EXPONENT), _GREATEST_EXPONENT)
        if largest > _LARGEST:
            raise UnfitTensorError("holds a value too large for fp16")
        self._elements = elements
        size = min(elements.size, BLOCK_ELEMENTS)
        self._scaled = np.empty(size, np.float32)
        self._halves = np.empty(size, np.float16)

    def prefix(self) -> bytes:
        return _EXPONENT.pack(self._exponent)

    def block(self, start: int, stop: int) -> Bytes:
        import torch

        scaled, halves = self._scaled[: stop - start], self._halves[: stop - start]
        np.multiply(self._elements[start:stop], np.float32(2.0**self._exponent), out=scaled)
        torch.from_numpy(halves).copy_(torch.from_numpy(scaled))
        return halves.view(np.uint8)


class _Reader:
    def __init__(self, exponent: int) -> None:
        self._factor = np.float32(2.0**-exponent)

    def block(self, encoded: Bytes, start: int, out: Floats) -> None:
        halves = encoded.view(np.int16)
        if ((halves & _HALF_EXPONENT) == _HALF_EXPONENT).any():
            raise UnfitTensorError("holds NaN or infinity")
        # As a float32 with the half's own bits, 2^112 times too small; exact, zeros and
        # subnormal halves included. Six times as quick as NumPy's own conversion.
        bits = out.view(np.int32)
        bits[:] = halves
        bits <<= 13
        bits &= _SIGN_AND_HALF
        out *= _BIAS
        with np.errstate(over="ignore"):
            out *= self._factor


def _exponent_of(largest: float) -> int:
    """The least power of two above a number that is rounded to 11 bits.

    Were it of the number itself, then one that is rounded up to a power of two would have
    another scale when it is encoded again, and the smallest elements would lose a bit each time.
    """
    mantissa, exponent = np.frexp(largest)
    return int(exponent) + int(np.rint(mantissa * 2.0**11) == 2.0**11)

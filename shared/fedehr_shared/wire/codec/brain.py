"""bf16: the upper half of a float32, rounded to the nearest, to even where two are as near."""

import numpy as np

from fedehr_shared.wire.codec.conversion import (
    BLOCK_ELEMENTS,
    Bytes,
    Floats,
    UnfitTensorError,
    require_finite,
)

_EXPONENT = np.uint16(0x7F80)


class Brain:
    """The range of float32, 8 bits of precision."""

    width = 2

    def num_prefix_bytes(self, num_elements: int) -> int:
        """None."""
        return 0

    def writer(self, elements: Floats, generator: np.random.Generator | None) -> "_Writer":
        """Encode `elements`."""
        return _Writer(elements)

    def reader(self, prefix: bytes, num_elements: int) -> "_Reader":
        """Decode."""
        return _Reader()


class _Writer:
    def __init__(self, elements: Floats) -> None:
        self._elements = elements
        self._bits = np.empty(min(elements.size, BLOCK_ELEMENTS), np.uint16)

    def prefix(self) -> bytes:
        return b""

    def block(self, start: int, stop: int) -> Bytes:
        import torch

        # PyTorch takes no array that is read-only; in the cache a copy costs next to nothing.
        block = self._elements[start:stop].copy()
        require_finite(block)
        bits = self._bits[: stop - start]
        torch.from_numpy(bits).view(torch.bfloat16).copy_(torch.from_numpy(block))
        if ((bits & _EXPONENT) == _EXPONENT).any():
            raise UnfitTensorError("holds a value too large for bf16")
        return bits.view(np.uint8)


class _Reader:
    def block(self, encoded: Bytes, start: int, out: Floats) -> None:
        bits = out.view(np.uint32)
        bits[:] = encoded.view(np.uint16)
        bits <<= 16

"""fp32: the elements' own bits."""

import numpy as np

from fedehr_shared.wire.codec.conversion import Bytes, Floats, require_finite


class Single:
    """Bit for bit."""

    width = 4

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

    def prefix(self) -> bytes:
        return b""

    def block(self, start: int, stop: int) -> Bytes:
        block = self._elements[start:stop]
        require_finite(block)
        return block.view(np.uint8)


class _Reader:
    def block(self, encoded: Bytes, start: int, out: Floats) -> None:
        out.view(np.uint8)[:] = encoded

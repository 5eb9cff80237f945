"""`Conversion`: float32 elements to and from one wire dtype, block by block."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK_ELEMENTS = 1 << 17
"""Elements converted at once: half a megabyte of float32 stays in a core's cache, where a pass
costs a sixth of what it costs in memory."""

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


class UnfitTensorError(Exception):
    """A tensor cannot be converted; the text says why, and whoever knows the name adds it."""


class Writer(Protocol):
    """Encodes one tensor. Its blocks are asked for in order, each once."""

    def prefix(self) -> bytes:
        """What stands before the elements: the tensor's scales."""
        ...

    def block(self, start: int, stop: int) -> Bytes:
        """Elements `start` to `stop` as bytes, valid until the next call."""
        ...


class Reader(Protocol):
    """Decodes one tensor."""

    def block(self, encoded: Bytes, start: int, out: Floats) -> None:
        """Fill `out` with the elements from `start` on; `encoded` holds just these."""
        ...


class Conversion(Protocol):
    """One wire dtype.

    Attributes:
        width: bytes of an element.
    """

    width: int

    def num_prefix_bytes(self, num_elements: int) -> int:
        """Bytes of what stands before the elements."""
        ...

    def writer(self, elements: Floats, generator: np.random.Generator | None) -> Writer:
        """Encode `elements`, flat.

        Raises:
            UnfitTensorError: NaN, infinity, or too large for this dtype.
        """
        ...

    def reader(self, prefix: bytes, num_elements: int) -> Reader:
        """Decode what a writer made.

        Raises:
            UnfitTensorError: the prefix is none that a writer makes.
        """
        ...


def require_finite(elements: Floats) -> None:
    """Look at a block.

    Raises:
        UnfitTensorError: it holds NaN or infinity.
    """
    if not np.isfinite(elements).all():
        raise UnfitTensorError("holds NaN or infinity")

"""int8: whole multiples of a scale, one scale to 256 elements, rounded at random.

An element between two multiples becomes either, the nearer one the more often, so that it is
right on average: `floor(x / scale + u)` with u uniform on [0, 1).
"""

import numpy as np

from fedehr_shared.wire.codec.conversion import BLOCK_ELEMENTS, Bytes, Floats, UnfitTensorError

GROUP = 256
_MOST = 127
_LEAST_SCALE = np.float32(2.0**-126)
"""The least normal float32: a group of zeros has a scale as well."""


class Byte:
    """8 bits, unbiased."""

    width = 1

    def num_prefix_bytes(self, num_elements: int) -> int:
        """One float32 a group."""
        return 4 * _num_groups(num_elements)

    def writer(self, elements: Floats, generator: np.random.Generator | None) -> "_Writer":
        """Encode `elements`."""
        if generator is None:
            raise ValueError("int8 rounds at random: give a generator")
        return _Writer(elements, generator)

    def reader(self, prefix: bytes, num_elements: int) -> "_Reader":
        """Decode."""
        scales = np.frombuffer(prefix, np.float32)
        if not ((scales >= _LEAST_SCALE) & np.isfinite(scales)).all():
            raise UnfitTensorError("has a scale that is not positive or not finite")
        return _Reader(scales)


class _Writer:
    def __init__(self, elements: Floats, generator: np.random.Generator) -> None:
        self._elements = elements
        self._generator = generator
        self._scales = _scales(elements)

    def prefix(self) -> bytes:
        return self._scales.tobytes()

    def block(self, start: int, stop: int) -> Bytes:
        grouped = _grouped(self._elements[start:stop])
        scales = self._scales[start // GROUP :][: len(grouped), None]
        drawn = self._generator.random(grouped.shape, dtype=np.float32)
        drawn += grouped / scales
        np.floor(drawn, out=drawn)
        np.clip(drawn, -_MOST, _MOST, out=drawn)
        return drawn.astype(np.int8).reshape(-1)[: stop - start].view(np.uint8)


class _Reader:
    def __init__(self, scales: Floats) -> None:
        self._scales = scales

    def block(self, encoded: Bytes, start: int, out: Floats) -> None:
        out[:] = encoded.view(np.int8)
        scales = self._scales[start // GROUP :]
        whole = out.size // GROUP
        with np.errstate(over="ignore"):
            grouped = out[: whole * GROUP].reshape(whole, GROUP)
            grouped *= scales[:whole, None]
            if out.size % GROUP:
                out[whole * GROUP :] *= scales[whole]


def _num_groups(num_elements: int) -> int:
    return -(-num_elements // GROUP)


def _grouped(elements: Floats) -> Floats:
    """`[groups, 256]`; the last one is filled up with zeros."""
    num_groups = _num_groups(elements.size)
    if elements.size == num_groups * GROUP:
        return elements.reshape(num_groups, GROUP)
    filled = np.zeros(num_groups * GROUP, np.float32)
    filled[: elements.size] = elements
    return filled.reshape(num_groups, GROUP)


def _scales(elements: Floats) -> Floats:
    """`[groups]`: the largest element of each is 127 times its scale, or a hair less."""
    scales = np.empty(_num_groups(elements.size), np.float32)
    for start in range(0, elements.size, BLOCK_ELEMENTS):
        grouped = _grouped(elements[start : start + BLOCK_ELEMENTS])
        largest = np.maximum(grouped.max(axis=1), -grouped.min(axis=1))
        if not np.isfinite(largest).all():
            raise UnfitTensorError("holds NaN or infinity")
        scale = np.maximum(largest / np.float32(_MOST), _LEAST_SCALE)
        with np.errstate(over="ignore"):
            # Rounded down, the scale would leave the largest above 127.
            short = largest / scale > _MOST
            scale[short] = np.nextafter(scale[short], np.float32(np.inf))
            if not np.isfinite(scale * np.float32(_MOST)).all():
                raise UnfitTensorError("holds a value too large for int8")
        scales[start // GROUP :][: len(scale)] = scale
    return scales

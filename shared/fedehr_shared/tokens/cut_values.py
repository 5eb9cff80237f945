"""The values at which a numeric token changes, so that no logarithm is taken for each event."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.vocabulary.grid import NUM_EDGES, bin_of

_INFINITY_BITS = 0x7F80_0000
_SIGN_BIT = 0x8000_0000


def cut_values(cuts: NDArray[np.int64]) -> NDArray[np.float32]:
    """The least float32 whose bin on the grid is at or above each cut, NaN where there is none.

    `value >= cut_values(cut)` holds just where `bin_of(value) >= cut`, for every float32, as
    the grid rises: what is found by bisection here need not be computed for each event.

    Args:
        cuts: `[n]`, 0 to `NUM_EDGES`.

    Shape: `[n]`.
    """
    low = np.full(cuts.size, -_INFINITY_BITS, dtype=np.int64)
    high = np.full(cuts.size, _INFINITY_BITS, dtype=np.int64)
    while (low < high).any():
        middle = (low + high) >> 1
        reached = bin_of(_float_of(middle)) >= cuts
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle + 1)
    return np.where(cuts < NUM_EDGES, _float_of(np.minimum(low, _INFINITY_BITS)), np.float32("nan"))


def _float_of(ranks: NDArray[np.int64]) -> NDArray[np.float32]:
    """The float32 of each rank: 0 is 0, 1 the least above it, -1 the greatest below."""
    bits = np.where(ranks >= 0, ranks, _SIGN_BIT - ranks)
    return bits.astype(np.uint32).view(np.float32)


class CutTable:
    """Every code's cut values in one flat array, for bisecting many events at once."""

    def __init__(self, cuts: Sequence[Sequence[int] | None]) -> None:
        """Prepare the table.

        Args:
            cuts: each code's rising cuts on the grid; None where it carries no values.
        """
        most = max((len(own) for own in cuts if own is not None), default=0)
        # Bisection in so many steps wants 2^steps - 1 cuts a code; a last one keeps the stride.
        self._num_steps = int(most + 1).bit_length()
        width = 1 << self._num_steps
        # A value is never at or above NaN, so that codes with fewer cuts end early.
        table = np.full((len(cuts), width), np.nan, dtype=np.float32)
        valued = np.asarray([r for r, own in enumerate(cuts) if own is not None], dtype=np.intp)
        lengths = np.asarray([len(own) for own in cuts if own is not None], dtype=np.intp)
        joined = np.asarray([cut for own in cuts if own for cut in own], dtype=np.int64)
        unique, which = np.unique(joined, return_inverse=True)
        place = np.arange(joined.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        table[valued, 0] = -np.inf
        table[np.repeat(valued, lengths), place + 1] = cut_values(unique)[which]
        self._width = width
        self._flat = table.reshape(-1)

    def bins_of(self, rows: NDArray[np.intp], values: NDArray[np.float32]) -> NDArray[np.intp]:
        """From 1, the bin of each value among its code's; 0 where the code carries none.

        Args:
            rows: `[n]`, the codes.
            values: `[n]`, none of them NaN.

        Shape: `[n]`.
        """
        first = rows * self._width
        places = first.copy()
        for step in (1 << power for power in reversed(range(self._num_steps))):
            places += step * (values >= self._flat.take(places + (step - 1)))
        places -= first
        return places

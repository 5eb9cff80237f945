"""One fixed signed-log grid for the values of all numeric codes.

Bins are equal steps of `asinh(value / SMALLEST)`: linear near zero, logarithmic beyond it,
symmetric in sign. `NUM_EDGES` edges over plus and minus 1e6 make a bin 0.26 % wide, about
the grain at which vital signs and laboratory values are recorded. A grid of 256 edges (18 %
wide) would put every pH and every body temperature into one or two bins.

The grid only names places. What leaves a site is a histogram whose neighbouring bins have
been merged (`histogram.merge_bins`), so a finer grid sends no more numbers.
"""

import numpy as np
from numpy.typing import NDArray

NUM_EDGES = 16_384
SMALLEST = 1e-3
LARGEST = 1e6
_SCALE = (NUM_EDGES / 2) / np.arcsinh(LARGEST / SMALLEST)


def bin_of(values: NDArray[np.floating]) -> NDArray[np.int32]:
    """The bin of each value.

    Shape: `[n]` to `[n]`, in 0 to `NUM_EDGES - 1`; values beyond the grid fall into its
    first or last bin, and so do infinities.
    """
    place = np.arcsinh(values.astype(np.float64) / SMALLEST) * _SCALE + NUM_EDGES / 2
    clipped = np.clip(np.floor(place), 0, NUM_EDGES - 1)
    return np.asarray(clipped, dtype=np.int32)


def value_at(edge: int) -> float:
    """The value at the lower edge of bin `edge`."""
    return float(np.sinh((edge - NUM_EDGES / 2) / _SCALE) * SMALLEST)

"""Draws that depend on a key alone: equal keys get equal draws, without sorting or grouping."""

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def keyed_draws(keys: NDArray[np.uint64], seeds: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Output number `keys[i]` of the SplitMix64 generator with seed `seeds[i]` (Steele, Lea and
    Flood 2014, "Fast splittable pseudorandom number generators").

    With one seed, different keys never share a draw: the map is one-to-one.

    Shape: `[n]`, with `seeds` `[n]` or `[1]`, to `[n]`; uniform over 0 to 2^64 - 1.
    """
    draws = keys * _GOLDEN
    draws += seeds
    shifted = draws >> np.uint64(30)
    draws ^= shifted
    draws *= np.uint64(0xBF58476D1CE4E5B9)
    np.right_shift(draws, np.uint64(27), out=shifted)
    draws ^= shifted
    draws *= np.uint64(0x94D049BB133111EB)
    np.right_shift(draws, np.uint64(31), out=shifted)
    draws ^= shifted
    return draws

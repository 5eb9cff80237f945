"""`FirstValues`: how many subjects' first value of a code falls into each bin of the grid."""

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.vocabulary.grid import NUM_EDGES

_MERGE_AT = 250_000


class FirstValues:
    """Adds up over chunks; memory is bounded by the bins that occur, not by the subjects."""

    def __init__(self) -> None:
        self._keys = np.empty(0, dtype=np.int64)
        self._counts = np.empty(0, dtype=np.int64)
        self._waiting: list[NDArray[np.int64]] = []
        self._num_waiting = 0

    def add(self, codes: NDArray[np.int64], places: NDArray[np.int32]) -> None:
        """Count one subject's first value of a code a row. Shapes: `[n]`."""
        self._waiting.append(codes * NUM_EDGES + places)
        self._num_waiting += codes.size
        if self._num_waiting >= _MERGE_AT:
            self._merge()

    def by_code(self) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """By code, the bins that hold a subject, rising, and how many each holds."""
        self._merge()
        codes, starts = np.unique(self._keys // NUM_EDGES, return_index=True)
        ends = np.append(starts[1:], self._keys.size)
        places = self._keys % NUM_EDGES
        bounds = zip(codes.tolist(), starts.tolist(), ends.tolist(), strict=False)
        return {code: (places[start:end], self._counts[start:end]) for code, start, end in bounds}

    def _merge(self) -> None:
        waiting = np.concatenate([self._keys[:0], *self._waiting])
        self._waiting, self._num_waiting = [], 0
        keys, sizes = np.unique(waiting, return_counts=True)
        at = np.searchsorted(self._keys, keys)
        known = np.zeros(keys.size, dtype=bool)
        inside = at < self._keys.size
        known[inside] = self._keys[at[inside]] == keys[inside]
        self._counts[at[known]] += sizes[known]
        self._keys = np.insert(self._keys, at[~known], keys[~known])
        self._counts = np.insert(self._counts, at[~known], sizes[~known])

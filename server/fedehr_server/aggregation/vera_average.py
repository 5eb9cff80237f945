"""VeRA's vectors averaged: biased as the mean of factors is."""

import numpy as np
from numpy.typing import NDArray

from fedehr_server.aggregation.adapter_aggregation import AggregatedAdapters
from fedehr_server.aggregation.adapter_mean import AdapterMean
from fedehr_server.aggregation.relative_error import RelativeError
from fedehr_server.aggregation.vera_matrix import VeraMatrix
from fedehr_shared.wire.fixed_point import FixedPointSum
from fedehr_shared.wire.payload import Arrays

Coefficients = NDArray[np.float64]


class VeraAverage:
    """The mean of b and of d, each by itself (Kopiczko et al. 2024 for the vectors).

    A matrix changes by `(b d' * B) A`, elementwise between b d' and B: it is linear in b d',
    of which the mean is kept, `[out, rank]`, to tell the error.
    """

    def __init__(self, matrices: tuple[VeraMatrix, ...], before: Arrays, total_weight: int) -> None:
        self._matrices = matrices
        self._before = before
        self._mean = AdapterMean(before, frozenset(before), total_weight)
        self._outer = FixedPointSum(total_weight)

    def add(self, site: str, update: Arrays, weight: int) -> None:
        """See `AdapterAggregation`."""
        self._mean.check(update, weight)
        outer = {
            f"{matrix.name} (the product of both changes)": matrix.outer(update).astype(np.float32)
            for matrix in self._matrices
        }
        self._outer.add(outer, weight)
        self._mean.add(update, weight)

    def close(self) -> AggregatedAdapters:
        """See `AdapterAggregation`."""
        after, error = self._mean.after(), RelativeError()
        change = {name: after[name] - self._before[name] for name in after}
        for matrix, mean_outer in zip(self._matrices, self._outer.mean().values(), strict=True):
            missed = matrix.outer(change) - mean_outer
            effective = matrix.outer(after) - matrix.outer(self._before)
            error.add(matrix.norm(missed), matrix.norm(effective - missed), 1.0)
        return AggregatedAdapters(after, None, error.value)

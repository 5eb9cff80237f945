"""`OneFactor`: rounds in which one of the two factors moves, so that the mean is exact."""

import numpy as np
from numpy.typing import NDArray

from fedehr_server.aggregation.adapted_matrix import AdaptedMatrix
from fedehr_server.aggregation.adapter_aggregation import AggregatedAdapters
from fedehr_server.aggregation.adapter_mean import AdapterMean
from fedehr_server.aggregation.low_rank import LowRank
from fedehr_server.aggregation.relative_error import RelativeError
from fedehr_shared.wire.payload import Arrays


class OneFactor:
    """The mean of one factor over the other, which all sites share.

    `sum of w_i (B + b_i) A = (B + sum of w_i b_i) A`, and likewise for A: the error that is told
    is that of rounding to 32 bits.
    """

    def __init__(
        self,
        matrices: tuple[AdaptedMatrix, ...],
        before: Arrays,
        total_weight: int,
        *,
        moves_a: bool,
    ) -> None:
        self._matrices = matrices
        self._before = before
        self._moves_a = moves_a
        trained = frozenset(m.lora_a if moves_a else m.lora_b for m in matrices)
        self._mean = AdapterMean(before, trained, total_weight)

    def add(self, site: str, update: Arrays, weight: int) -> None:
        """See `AdapterAggregation`."""
        self._mean.add(update, weight)

    def close(self) -> AggregatedAdapters:
        """See `AdapterAggregation`."""
        after, mean, error = self._mean.after(), self._mean.mean(), RelativeError()
        for matrix in self._matrices:
            name = matrix.lora_a if self._moves_a else matrix.lora_b
            ideal = mean[name].astype(np.float64)
            effective = after[name].astype(np.float64) - self._before[name]
            error.add(
                self._with_other(matrix, effective - ideal).norm,
                self._with_other(matrix, ideal).norm,
                matrix.scale,
            )
        return AggregatedAdapters(after, None, error.value)

    def _with_other(self, matrix: AdaptedMatrix, change: NDArray[np.float64]) -> LowRank:
        """The change of the product by the change of the factor that moves."""
        both = matrix.product(self._before)
        return LowRank(both.left, change) if self._moves_a else LowRank(change, both.right)

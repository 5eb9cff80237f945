"""A and B averaged apart: simple, and biased."""

import numpy as np
from numpy.typing import NDArray

from fedehr_server.aggregation.adapted_matrix import AdaptedMatrix
from fedehr_server.aggregation.adapter_aggregation import AggregatedAdapters
from fedehr_server.aggregation.adapter_mean import AdapterMean
from fedehr_server.aggregation.relative_error import RelativeError
from fedehr_shared.wire.fixed_point import FixedPointSum
from fedehr_shared.wire.payload import Arrays


class Average:
    """Federated averaging (McMahan et al. 2017) of each factor by itself.

    The product of two means is not the mean of products: with changes `b_i` and `a_i` of B and
    A it misses `sum of w_i b_i a_i` less `(sum of w_i b_i) (sum of w_i a_i)`. That sum is kept,
    one `[out, in]` matrix of 64-bit numbers for each adapted one, to tell the error.
    """

    def __init__(
        self, matrices: tuple[AdaptedMatrix, ...], before: Arrays, total_weight: int
    ) -> None:
        self._matrices = matrices
        self._before = before
        self._mean = AdapterMean(before, frozenset(before), total_weight)
        self._products = FixedPointSum(total_weight)

    def add(self, site: str, update: Arrays, weight: int) -> None:
        """See `AdapterAggregation`."""
        self._mean.check(update, weight)
        products = {
            f"{matrix.name} (the product of both changes)": _product(matrix, update)
            for matrix in self._matrices
        }
        self._products.add(products, weight)
        self._mean.add(update, weight)

    def close(self) -> AggregatedAdapters:
        """See `AdapterAggregation`."""
        after, error = self._mean.after(), RelativeError()
        products = self._products.mean().values()
        for matrix, mean_product in zip(self._matrices, products, strict=True):
            old = matrix.product(self._before)
            new = matrix.product(after)
            b, a = new.left - old.left, new.right - old.right
            missed = b @ a - mean_product
            ideal = old.left @ a + b @ old.right + mean_product
            error.add(float(np.linalg.norm(missed)), float(np.linalg.norm(ideal)), matrix.scale)
        return AggregatedAdapters(after, None, error.value)


def _product(matrix: AdaptedMatrix, update: Arrays) -> NDArray[np.float32]:
    product = matrix.product(update)
    return (product.left @ product.right).astype(np.float32)

"""`ExactSum`: the sum of the sites' products, of which a part becomes the next adapters."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fedehr_server.aggregation.adapted_matrix import AdaptedMatrix
from fedehr_server.aggregation.adapter_aggregation import AggregatedAdapters
from fedehr_server.aggregation.low_rank import LowRank
from fedehr_server.aggregation.relative_error import RelativeError
from fedehr_shared.errors import TrainingError, WireError
from fedehr_shared.model.lora.fold import fold_a, fold_b
from fedehr_shared.model.weights import check_tensors
from fedehr_shared.wire.fixed_point import FixedPointSum
from fedehr_shared.wire.payload import Arrays

DrawA = Callable[[str, tuple[int, ...]], NDArray[np.float32]]
"""Draws an A anew, by its name and shape."""


class ExactSum:
    """New base + s B A is old base + s sum of w_i B_i A_i, within rounding.

    Keeps every site's factors until the round closes: memory grows with the sites, by the size
    of their adapters.
    """

    def __init__(
        self,
        method: str,
        matrices: tuple[AdaptedMatrix, ...],
        before: Arrays,
        total_weight: int,
        draw_a: DrawA,
        *,
        keeps_adapters: bool,
    ) -> None:
        """Nothing is added yet.

        Args:
            method: its name, for errors.
            matrices: what is adapted.
            before: all adapters' parameters.
            total_weight: an upper bound of the weights to come.
            draw_a: draws A where adapters start anew.
            keeps_adapters: whether the sum's best part becomes the adapters, or all is folded.
        """
        self._method = method
        self._matrices = matrices
        self._before = before
        self._bounds = FixedPointSum(total_weight)
        self._draw_a = draw_a
        self._keeps_adapters = keeps_adapters
        self._sites: dict[str, tuple[Arrays, int]] = {}

    def add(self, site: str, update: Arrays, weight: int) -> None:
        """See `AdapterAggregation`."""
        if site in self._sites:
            raise WireError(f"site '{site}' answered twice.")
        check_tensors(update, {name: value.shape for name, value in self._before.items()})
        self._bounds.check(update, weight)
        self._bounds.add({}, weight)
        self._sites[site] = ({name: value.copy() for name, value in update.items()}, weight)

    def close(self) -> AggregatedAdapters:
        """See `AdapterAggregation`."""
        # What is beyond its numbers is looked for below, and answered by an error.
        with np.errstate(over="ignore", invalid="ignore"):
            return self._close()

    def _close(self) -> AggregatedAdapters:
        adapters: Arrays = {}
        fold: Arrays = {}
        error = RelativeError()
        for matrix in self._matrices:
            total = self._total(matrix)
            best, rest = self._split(matrix, total)
            factors, folded = self._factors(matrix, best), _fold(matrix, rest)
            self._require_finite({**factors, **folded})
            effective = [matrix.product(factors), *_products(matrix, folded)]
            before = matrix.product(self._before)
            error.add(
                LowRank.total([*effective, total.scaled(-1.0)]).norm,
                LowRank.total([total, before.scaled(-1.0)]).norm,
                matrix.scale,
            )
            adapters |= factors
            fold |= folded
        return AggregatedAdapters(adapters, fold or None, error.value)

    def _total(self, matrix: AdaptedMatrix) -> LowRank:
        """The weighted mean of the sites' products, not scaled; sites by their names."""
        weights = sum(weight for _, weight in self._sites.values())
        before = matrix.product(self._before)
        products = []
        for _, (update, weight) in sorted(self._sites.items()):
            change = matrix.product(update)
            after = LowRank(before.left + change.left, before.right + change.right)
            products.append(after.scaled(weight / weights))
        return LowRank.total(products)

    def _split(self, matrix: AdaptedMatrix, total: LowRank) -> tuple[LowRank, LowRank]:
        rank = len(self._before[matrix.lora_a]) if self._keeps_adapters else 0
        try:
            return total.split(rank)
        except np.linalg.LinAlgError as error:
            raise TrainingError(
                f"aggregation '{self._method}' cannot decompose {matrix.name}: {error}. "
                "Lower [finetuning] learning_rate, or choose another [lora] aggregation."
            ) from error

    def _factors(self, matrix: AdaptedMatrix, best: LowRank) -> Arrays:
        """B and A from the sum's best part. A direction that it does not use starts anew, with
        its column of B zero: with both zero it would never learn again."""
        shape = self._before[matrix.lora_a].shape
        a, b = self._draw_a(matrix.lora_a, shape), np.zeros_like(self._before[matrix.lora_b])
        a[: best.rank], b[:, : best.rank] = best.right, best.left
        return {matrix.lora_a: a, matrix.lora_b: b}

    def _require_finite(self, tensors: Arrays) -> None:
        for name, value in tensors.items():
            if not np.isfinite(value).all():
                raise TrainingError(
                    f"aggregation '{self._method}' finds {name} beyond 32 bits. Lower "
                    "[finetuning] learning_rate, or choose another [lora] aggregation."
                )


def _fold(matrix: AdaptedMatrix, rest: LowRank) -> Arrays:
    """What the base is to take up, scaled.

    Both factors take a half of the scale: 16 bits have a small range.
    """
    if not rest.rank:
        return {}
    root = matrix.scale**0.5
    return {
        fold_b(matrix.name): (rest.left * root).astype(np.float32),
        fold_a(matrix.name): (rest.right * root).astype(np.float32),
    }


def _products(matrix: AdaptedMatrix, folded: Arrays) -> list[LowRank]:
    """What is folded as it was rounded, without the scale."""
    if not folded:
        return []
    left, right = folded[fold_b(matrix.name)], folded[fold_a(matrix.name)]
    return [LowRank(left.astype(np.float64), right.astype(np.float64)).scaled(1 / matrix.scale)]

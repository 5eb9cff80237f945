"""Bags of tokens as rows of numbers: counts, and the scaled age last."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedehr_simulations.arms.bag_of_tokens import Bag


@dataclass(frozen=True)
class AgeScale:
    """Mean and standard deviation of the training ages that are known, in years."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, ages: NDArray[np.float64]) -> "AgeScale":
        """Of ages `[rows]`, NaN where unknown."""
        known = ages[~np.isnan(ages)]
        if known.size == 0:
            return cls(0.0, 1.0)
        return cls(float(known.mean()), float(known.std()) or 1.0)


def stack_features(bags: Sequence[Bag], age: AgeScale) -> Any:
    """Counts and scaled ages; an unknown age becomes the mean. `[rows, tokens + 1]`, sparse."""
    from scipy.sparse import csr_matrix, hstack, vstack

    counts = vstack([bag.counts for bag in bags], format="csr")
    scaled = (np.concatenate([bag.ages for bag in bags]) - age.mean) / age.deviation
    return hstack([counts, csr_matrix(np.nan_to_num(scaled, nan=0.0)[:, None])], format="csr")


def stack_labels(bags: Sequence[Bag], task: int) -> NDArray[np.float64]:
    """One task's labels: 0, 1 or NaN. `[rows]`."""
    return np.concatenate([bag.examples.labels[:, task] for bag in bags]).astype(np.float64)

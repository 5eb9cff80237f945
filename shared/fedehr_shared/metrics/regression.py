"""Metrics of predicted values, for many bootstrap weightings at once."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.metrics.binary import Metric

Floats = NDArray[np.float64]


def mae(labels: Floats, values: Floats, weights: Floats) -> Floats:
    """Mean absolute error, in the label's unit.

    Shape: labels and values `[n]`, weights `[replicates, n]` to `[replicates]`.
    """
    return np.asarray(weights @ np.abs(values - labels) / weights.sum(axis=1))


def rmse(labels: Floats, values: Floats, weights: Floats) -> Floats:
    """Root of the mean squared error, in the label's unit. Shape: as `mae`."""
    return np.asarray(np.sqrt(weights @ (values - labels) ** 2 / weights.sum(axis=1)))


def r2(labels: Floats, values: Floats, weights: Floats) -> Floats:
    """Share of the labels' variance that is explained; NaN where they do not vary.

    Shape: as `mae`.
    """
    means = weights @ labels / weights.sum(axis=1)
    spread = (weights * (labels[None, :] - means[:, None]) ** 2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(
            np.where(spread > 0, 1 - weights @ (values - labels) ** 2 / spread, np.nan)
        )


def spearman(labels: Floats, values: Floats, weights: Floats) -> Floats:
    """Correlation of ranks (Spearman 1904), equal values sharing theirs; NaN without spread.

    Shape: as `mae`.
    """
    one, other = _ranks(labels, weights), _ranks(values, weights)
    total = weights.sum(axis=1, keepdims=True)
    one -= (weights * one).sum(axis=1, keepdims=True) / total
    other -= (weights * other).sum(axis=1, keepdims=True) / total
    together = (weights * one * other).sum(axis=1)
    apart = (weights * one**2).sum(axis=1) * (weights * other**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(apart > 1e-12, together / np.sqrt(apart), np.nan))


REGRESSION_METRICS: Mapping[str, Metric] = {
    "mae": mae,
    "rmse": rmse,
    "r2": r2,
    "spearman": spearman,
}


def _ranks(values: Floats, weights: Floats) -> Floats:
    """Middle ranks among the weighted values. `[replicates, n]`."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    running = np.cumsum(weights[:, np.argsort(values, kind="stable")], axis=1)
    upto = running[:, np.cumsum(counts) - 1]
    below = np.concatenate([np.zeros((weights.shape[0], 1)), upto[:, :-1]], axis=1)
    return np.asarray(((below + upto) / 2)[:, places])

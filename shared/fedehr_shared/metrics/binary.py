"""Metrics of binary scores, for many bootstrap weightings at once.

A replicate is a vector of weights over subjects, so that one sort serves all replicates.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Metric = Callable[
    [NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]
]


def auroc(
    labels: NDArray[np.float64], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Area under the ROC curve; ties count half (Mann and Whitney 1947).

    Shape: labels and scores `[n]`, weights `[replicates, n]` to `[replicates]`; NaN where a
    replicate lacks a class.
    """
    order, ends = _ties(scores)
    positives, negatives = _cumulative(labels[order], weights[:, order], ends)
    below = np.concatenate([np.zeros((weights.shape[0], 1)), negatives[:, :-1]], axis=1)
    tied = np.diff(np.concatenate([np.zeros((weights.shape[0], 1)), positives], axis=1), axis=1)
    won = (tied * (below + negatives) / 2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(won / (positives[:, -1] * negatives[:, -1]))


def auprc(
    labels: NDArray[np.float64], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Average precision: precision at each threshold weighted by the recall it adds.

    Shape: as `auroc`.
    """
    order, ends = _ties(-scores)
    positives, negatives = _cumulative(labels[order], weights[:, order], ends)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.nan_to_num(positives / (positives + negatives))
        gained = np.diff(positives, axis=1, prepend=0.0)
        return np.asarray((precision * gained).sum(axis=1) / positives[:, -1])


def brier(
    labels: NDArray[np.float64], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean squared difference of probability and outcome (Brier 1950).

    Shape: as `auroc`.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights @ (scores - labels) ** 2) / weights.sum(axis=1))


METRICS: Mapping[str, Metric] = {"auroc": auroc, "auprc": auprc, "brier": brier}


def _ties(scores: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A stable order of the scores, and the last place of each run of equal scores."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return order, ends


def _cumulative(
    labels: NDArray[np.float64], weights: NDArray[np.float64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    positives = np.cumsum(weights * labels, axis=1)[:, ends]
    negatives = np.cumsum(weights * (1 - labels), axis=1)[:, ends]
    return positives, negatives

"""Bootstrap intervals over subjects, for one model, for several seeds, and paired."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.metrics.binary import METRICS, Metric
from fedehr_shared.seeds import derive_generator

_CHUNK = 250
_MOST_NUMBERS = 4_000_000
"""Of a chunk of replicates: a metric holds several arrays of so many."""


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % percentile bootstrap interval (Efron 1979)."""

    value: float
    low: float
    high: float


def bootstrap_weights(num: int, num_replicates: int, *seed_parts: str | int) -> NDArray[np.int16]:
    """How often each subject is drawn in each replicate. Shape: `[num_replicates, num]`."""
    generator = derive_generator("bootstrap", num, num_replicates, *seed_parts)
    weights = np.empty((num_replicates, num), dtype=np.int16)
    # One replicate after the other: all draws of a large hospital take gigabytes.
    for own in weights:
        own[:] = np.bincount(generator.integers(0, num, num), minlength=num)
    return weights


def metric_interval(
    metric: str | Metric,
    labels: NDArray[np.float64],
    scores_by_seed: Sequence[NDArray[np.float64]],
    weights: NDArray[np.int16],
) -> Interval:
    """The metric's mean over seeds, with an interval over subjects.

    Args:
        metric: a key of `METRICS`, or a function like them.
        labels: `[n]`, 0 or 1.
        scores_by_seed: for each seed `[n]`, probabilities.
        weights: `[replicates, n]`, from `bootstrap_weights`.
    """
    value = float(np.mean([_point(metric, labels, scores) for scores in scores_by_seed]))
    return _interval(value, _replicates(metric, labels, scores_by_seed, weights))


def paired_interval(
    metric: str | Metric,
    labels: NDArray[np.float64],
    scores_by_seed: Sequence[NDArray[np.float64]],
    reference_by_seed: Sequence[NDArray[np.float64]],
    weights: NDArray[np.int16],
) -> Interval:
    """The metric's difference to a reference on the same subjects, in the same replicates.

    Shape: as `metric_interval`; the two may have different numbers of seeds.
    """
    ours = np.mean([_point(metric, labels, scores) for scores in scores_by_seed])
    theirs = np.mean([_point(metric, labels, scores) for scores in reference_by_seed])
    differences = _replicates(metric, labels, scores_by_seed, weights) - _replicates(
        metric, labels, reference_by_seed, weights
    )
    return _interval(float(ours - theirs), differences)


def _point(metric: str | Metric, labels: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    return float(_function(metric)(labels, scores, np.ones((1, labels.size)))[0])


def _replicates(
    metric: str | Metric,
    labels: NDArray[np.float64],
    scores_by_seed: Sequence[NDArray[np.float64]],
    weights: NDArray[np.int16],
) -> NDArray[np.float64]:
    values = np.zeros(weights.shape[0])
    size = max(1, min(_CHUNK, _MOST_NUMBERS // max(1, labels.size)))
    for begin in range(0, weights.shape[0], size):
        chunk = weights[begin : begin + size].astype(np.float64)
        for scores in scores_by_seed:
            values[begin : begin + size] += _function(metric)(labels, scores, chunk)
    return values / len(scores_by_seed)


def _function(metric: str | Metric) -> Metric:
    return METRICS[metric] if isinstance(metric, str) else metric


def _interval(value: float, replicates: NDArray[np.float64]) -> Interval:
    if np.isnan(replicates).all():
        # A metric that no replicate has, as the slope of perfectly separated classes.
        return Interval(value, float("nan"), float("nan"))
    low, high = np.nanpercentile(replicates, [2.5, 97.5])
    return Interval(value, float(low), float(high))

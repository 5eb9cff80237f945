"""`neighbor_shares`: what the nearest training subjects of a held-out one came to.

Distances are Euclidean between standardized encodings, as the linear probe sees them. Encoders
have a few directions that are a hundred times as wide as the others (Timkey and van Schijndel
2021): plain distances and cosines would be about those alone. Nor has a cosine a length, and with
sum pooling the length says how much was done to a patient.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.seeds import derive_generator
from fedehr_simulations.probe.linear_probe import LabelledVectors
from fedehr_simulations.probe.replicated import Replicated

MAX_TRAIN, MAX_HELD_OUT = 20_000, 5_000
"""Examples beyond these are left out by lot: the time grows with the product."""
_TIED = 1e-6
_CELLS = 4_000_000
"""Distances held at once."""


@dataclass(frozen=True)
class Agreement:
    """How far neighbors share an outcome.

    Attributes:
        agreement: share of neighbors with the subject's own outcome, the mean over subjects.
        beyond_chance: that minus what neighbors picked by lot would give.
        of_positives: share of positives among the neighbors of positives.
        of_negatives: among those of negatives.
    """

    agreement: Replicated
    beyond_chance: Replicated
    of_positives: float
    of_negatives: float

    @property
    def chance(self) -> float:
        """Agreement with neighbors picked by lot."""
        return self.agreement.value - self.beyond_chance.value


def neighbor_shares(
    train: LabelledVectors, queries: NDArray[np.float64], num_neighbors: int
) -> NDArray[np.float64]:
    """The share of positives among each query's nearest training examples.

    Examples as far away as the last neighbor share its place, so that the order of rows
    decides nothing.

    Args:
        train: `[n, hidden]` with outcomes.
        queries: `[m, hidden]`.
        num_neighbors: how many; all where there are fewer.

    Shape: `[m]`.
    """
    mean, deviation = train.vectors.mean(axis=0), train.vectors.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    known = (train.vectors - mean) / deviation
    asked = (queries - mean) / deviation
    num = min(num_neighbors, len(known))
    rows = max(1, _CELLS // max(1, len(known)))
    parts = [
        _shares(_squared_distances(asked[begin : begin + rows], known), train.outcomes, num)
        for begin in range(0, len(asked), rows)
    ]
    return np.concatenate([np.empty(0), *parts])


def agreement_of(
    shares: NDArray[np.float64],
    labels: NDArray[np.float64],
    prevalence: float,
    weights: NDArray[np.int16],
) -> Agreement:
    """Agreement of subjects with their neighbors.

    Args:
        shares: `[n]`, from `neighbor_shares`.
        labels: `[n]`, the subjects' own outcomes.
        prevalence: share of positives among those that neighbors were taken from.
        weights: `[replicates, n]`.
    """
    same = np.where(labels == 1, shares, 1 - shares)
    by_lot = np.where(labels == 1, prevalence, 1 - prevalence)
    return Agreement(
        _mean(same, weights),
        _mean(same - by_lot, weights),
        float(shares[labels == 1].mean()),
        float(shares[labels == 0].mean()),
    )


def sampled(num: int, limit: int, *seed_parts: str | int) -> NDArray[np.int64]:
    """Places of at most `limit` of `num`, in rising order."""
    if num <= limit:
        return np.arange(num, dtype=np.int64)
    picked = derive_generator("neighbors", *seed_parts).permutation(num)[:limit]
    return np.sort(picked).astype(np.int64)


def _squared_distances(
    ours: NDArray[np.float64], theirs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`[n, hidden]` and `[m, hidden]` to `[n, m]`."""
    lengths = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1)[None, :]
    return np.asarray(np.maximum(lengths - 2 * ours @ theirs.T, 0.0) / max(1, ours.shape[1]))


def _shares(
    distances: NDArray[np.float64], outcomes: NDArray[np.float64], num: int
) -> NDArray[np.float64]:
    last = np.partition(distances, num - 1, axis=1)[:, num - 1 : num]
    nearer = distances < last - _TIED
    tied = ~nearer & (distances <= last + _TIED)
    left = num - nearer.sum(axis=1)
    return np.asarray((nearer @ outcomes + left * (tied @ outcomes) / tied.sum(axis=1)) / num)


def _mean(values: NDArray[np.float64], weights: NDArray[np.int16]) -> Replicated:
    with np.errstate(invalid="ignore", divide="ignore"):
        replicates = weights @ values / weights.sum(axis=1)
    return Replicated(float(values.mean()), np.asarray(replicates))

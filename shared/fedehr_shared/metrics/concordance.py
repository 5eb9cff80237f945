"""Harrell's concordance of risks with times, for many bootstrap weightings at once."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_ROWS = 512
_MOST_WORK = 4e10


def concordance(labels: Floats, risks: Floats, weights: Floats) -> Floats:
    """Share of comparable pairs in which who had the event earlier had the higher risk.

    A pair is comparable where the earlier one had the event; of two at the same time, where
    one had it and the other was then no longer watched. Equal risks count half (Harrell et al.
    1982).

    Args:
        labels: `[n]`, hours to the event, negative where watching ended then without it.
        risks: `[n]`, greater where the event is expected sooner.
        weights: `[replicates, n]`.

    Returns:
        `[replicates]`; NaN where no pair is comparable.
    """
    times, happened = np.abs(labels), labels > 0
    won, compared = np.zeros(weights.shape[0]), np.zeros(weights.shape[0])
    events = np.flatnonzero(happened)
    for begin in range(0, events.size, _ROWS):
        rows = events[begin : begin + _ROWS]
        later = times[rows, None] < times[None, :]
        later |= (times[rows, None] == times[None, :]) & ~happened[None, :]
        difference = risks[rows, None] - risks[None, :]
        wins = later * (0.5 * (1 + np.sign(difference)))
        own = weights[:, rows]
        compared += (own * (weights @ later.T.astype(np.float64))).sum(axis=1)
        won += (own * (weights @ wins.T)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(won / compared)


def num_replicates_within_reach(num: int, wanted: int) -> int:
    """Bootstrap replicates of a concordance, which takes the square of `num` for each.

    As many as are wanted up to some 6,000 subjects, and 100 at least.
    """
    return int(max(min(wanted, 100), min(wanted, _MOST_WORK / max(num, 1) ** 2)))
